// How the page is built, and served while it is worked on (`npm run dev`, with made-up data).
import { defineConfig } from "vite";
import { mock } from "./dev/mock.ts";

export default defineConfig(({ command }) => ({
  plugins: command === "serve" ? [mock()] : [],
  build: {
    target: "es2022",
    // The policy of the server allows no inline script, style or data: font.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
  },
}));
