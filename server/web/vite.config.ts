// How the page is built, and served while it is worked on (`npm run dev`, with made-up data).
import { defineConfig } from "vite";
import { mock } from "./dev/mock.ts";
import { pack } from "./dev/pack.ts";

/** As the server sends it (`POLICY` of server/src/web.rs), so that `npm run preview` keeps to it. */
const POLICY =
  "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'";

/** `SKEP_API=http://127.0.0.1:8428` asks a running server instead of making up its answers. */
const api = process.env.SKEP_API;
const to = { target: api ?? "", ws: true };
const proxy = api ? { "/api": to, "/loki": to, "/-/": to } : {};

export default defineConfig(({ command, isPreview }) => ({
  plugins: [pack(), ...(command === "serve" && !isPreview && !api ? [mock()] : [])],
  server: { proxy },
  preview: { proxy, headers: { "content-security-policy": POLICY } },
  build: {
    target: "es2022",
    // The policy of the server allows no inline script, style or data: font.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
  },
}));
