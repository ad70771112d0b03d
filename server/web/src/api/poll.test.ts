import assert from "node:assert/strict";
import { test } from "node:test";
import { pauseMs } from "./poll";

test("tabs that were opened at any time ask at the same moments", () => {
  const opened = [0, 3_000, 6_000, 7_500, 13_999, 14_000];
  const nexts = opened.map((at) => at + pauseMs(at, 15_000));
  assert.deepEqual(nexts, [14_000, 14_000, 14_000, 29_000, 29_000, 29_000]);
});
