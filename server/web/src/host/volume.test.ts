import assert from "node:assert/strict";
import { test } from "node:test";
import type { Series } from "../api/prometheus";
import { barsOf, totals } from "./volume";

const series = (labels: Record<string, string>, ...values: number[]): Series => ({
  labels,
  times: values.map((_, i) => i * 10),
  values,
});

test("levels of several names are one, and bars are in the order of time", () => {
  const bars = barsOf([
    series({ level: "err" }, 1, 0, 2),
    series({ detected_level: "error" }, 1),
    series({ level: "info" }, NaN, 3),
    series({}, 4),
  ]);
  assert.deepEqual(bars, [
    { time: 0, counts: { error: 2, unknown: 4 }, total: 6 },
    { time: 10, counts: { info: 3 }, total: 3 },
    { time: 20, counts: { error: 2 }, total: 2 },
  ]);
  assert.deepEqual(totals(bars), [["error", 4], ["info", 3], ["unknown", 4]]);
  assert.deepEqual(barsOf([]), []);
});
