import assert from "node:assert/strict";
import { test } from "node:test";
import { bucketsOf, byLevel } from "./volume";

test("buckets are round and not many", () => {
  for (const seconds of [60, 900, 3600, 86_400, 365 * 86_400]) {
    const { start, end, step } = bucketsOf({ start: 1_790_000_007, end: 1_790_000_007 + seconds, step: 1 });
    assert.ok((end - start) / step <= 82, `${seconds}`);
    assert.equal(start % step, 0);
  }
});

test("names of one level are one, the worst at the bottom, and empty buckets are zero", () => {
  const range = { start: 0, end: 20, step: 10 };
  const volume = byLevel(
    [
      { labels: { detected_level: "info" }, times: [10], values: [1] },
      { labels: { level: "warn", detected_level: "warning" }, times: [0], values: [2] },
      { labels: { level: "warning" }, times: [0, 20], values: [3, 4] },
      { labels: {}, times: [20], values: [5] },
    ],
    range,
  );
  assert.deepEqual(volume.levels, ["warning", "info", "unknown"]);
  assert.deepEqual(volume.series.map((it) => it.values), [[5, 0, 4], [0, 1, 0], [0, 0, 5]]);
  assert.deepEqual(volume.counts, [9, 1, 5]);
});
