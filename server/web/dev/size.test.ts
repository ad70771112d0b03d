import assert from "node:assert/strict";
import { existsSync, statSync } from "node:fs";
import { test } from "node:test";
import { files } from "./pack";

/** All views, their scripts, styles and icons. */
const GZIP_BYTES_MAX = 350_000;

test("the whole page is small, as gzip sends it", () => {
  assert.ok(existsSync("dist/index.html"), "there is no built page: npm run build");
  const sent = files("dist").filter((path) => !/\.(br|gz)$/.test(path));
  const sizes = sent.map((path) => statSync(existsSync(`${path}.gz`) ? `${path}.gz` : path).size);
  const total = sizes.reduce((sum, size) => sum + size, 0);
  console.log(`${sent.length} files, ${(total / 1000).toFixed(1)} kB as gzip`);
  assert.ok(sent.length > 10 && total > 100_000, `${sent.length} files of ${total} bytes are not the page`);
  assert.ok(total <= GZIP_BYTES_MAX, `${total} bytes`);
});
