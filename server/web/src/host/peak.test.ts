import assert from "node:assert/strict";
import { test } from "node:test";
import type { Series } from "../api/prometheus";
import { outline, peakOf, riser } from "./peak";

const line = (...values: number[]): Series => ({
  labels: {},
  times: values.map((_, i) => i * 10),
  values,
});

test("the peak is where values stand high above the usual", () => {
  const points = outline([line(1, 1, 2, 9, 10, 9, 2, 1, 1)], false);
  assert.deepEqual(peakOf(points, 0), { from: 30, to: 50 });
  assert.deepEqual(peakOf(points, 20), { from: 10, to: 50 });
});

test("of a stack the sum counts, of lines the highest", () => {
  const series = [line(1, 5, 1), line(1, 3, NaN)];
  assert.deepEqual(outline(series, true), [[0, 2], [10, 8], [20, 1]]);
  assert.deepEqual(outline(series, false), [[0, 1], [10, 5], [20, 1]]);
});

test("a flat line has no peak, nor have two points", () => {
  assert.equal(peakOf(outline([line(4, 4, 4, 4)], false), 0), undefined);
  assert.equal(peakOf(outline([line(1, 9)], false), 0), undefined);
  assert.equal(peakOf([], 0), undefined);
});

test("the line that rose is told from the one that is high", () => {
  assert.equal(riser([line(9, 9, 9, 9, 9), line(1, 1, 1, 5, 5)], { from: 20, to: 40 }), 1);
  assert.equal(riser([], { from: 20, to: 40 }), undefined);
});
