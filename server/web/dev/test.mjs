// Runs every test of src and dev on Node's test runner; Vite reads the TypeScript.
import { readdirSync } from "node:fs";
import { after } from "node:test";
import { createServer } from "vite";

const server = await createServer({
  configFile: false,
  appType: "custom",
  logLevel: "error",
  server: { middlewareMode: true, ws: false, watch: null },
});
for (const dir of ["src", "dev"]) {
  const files = readdirSync(dir, { recursive: true }).filter((name) => name.endsWith(".test.ts"));
  for (const file of files) await server.ssrLoadModule(`/${dir}/${file}`);
}
after(() => server.close());
