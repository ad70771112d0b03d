// Runs every test of src on Node's test runner; Vite reads the TypeScript.
import { readdirSync } from "node:fs";
import { after } from "node:test";
import { createServer } from "vite";

const server = await createServer({
  configFile: false,
  appType: "custom",
  logLevel: "error",
  server: { middlewareMode: true, ws: false, watch: null },
});
const files = readdirSync("src", { recursive: true }).filter((name) => name.endsWith(".test.ts"));
for (const file of files) await server.ssrLoadModule(`/src/${file}`);
after(() => server.close());
