// Packs the built page beside itself: the server carries both and packs nothing while somebody waits.
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { extname, join } from "node:path";
import { brotliCompressSync, constants, gzipSync } from "node:zlib";
import type { Plugin } from "vite";

const TEXTS = new Set([".css", ".html", ".js", ".json", ".svg", ".webmanifest"]);
/** One packet holds it as it is. */
const BYTES_MIN = 1_024;

/** Writes `name.br` and `name.gz` of each text of the output that gains by it. */
export function pack(): Plugin {
  let dir = "";
  return {
    name: "skep-pack",
    apply: "build",
    configResolved: ({ root, build }) => {
      dir = join(root, build.outDir);
    },
    closeBundle: () => files(dir).forEach(packFile),
  };
}

/** Every file below a folder. */
export function files(dir: string): string[] {
  const entries = readdirSync(dir, { recursive: true, withFileTypes: true });
  return entries.filter((it) => it.isFile()).map((it) => join(it.parentPath, it.name));
}

function packFile(path: string) {
  const bytes = readFileSync(path);
  if (!TEXTS.has(extname(path)) || bytes.length < BYTES_MIN) return;
  const quality = { [constants.BROTLI_PARAM_QUALITY]: constants.BROTLI_MAX_QUALITY };
  writeFileSync(`${path}.br`, brotliCompressSync(bytes, { params: quality }));
  writeFileSync(`${path}.gz`, gzipSync(bytes, { level: constants.Z_BEST_COMPRESSION }));
}
