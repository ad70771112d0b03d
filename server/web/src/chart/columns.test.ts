import assert from "node:assert/strict";
import { test } from "node:test";
import type { Series } from "../api/prometheus";
import { columnsOf } from "./columns";

const series = (...points: [number, number][]): Series => ({
  labels: {},
  times: points.map(([time]) => time),
  values: points.map(([, value]) => value),
});
const RANGE = { start: 0, end: 30, step: 10 };

test("series of different times share an axis that spans the range", () => {
  const { times, plain } = columnsOf([series([10, 1]), series([10, 5], [20, 6])], RANGE, false);
  assert.deepEqual(times, [0, 10, 20, 30]);
  assert.deepEqual(plain, [
    [null, 1, null, null],
    [null, 5, 6, null],
  ]);
});

test("stacked series stand on each other, and a gap of one is no gap of all", () => {
  const { drawn, plain } = columnsOf([series([10, 1]), series([10, 5], [20, 6])], RANGE, true);
  assert.deepEqual(drawn, [
    [null, 1, 0, null],
    [null, 6, 6, null],
  ]);
  assert.deepEqual(plain[1], [null, 5, 6, null]);
});

test("a hidden series carries nothing in a stack", () => {
  const { drawn } = columnsOf([series([10, 1]), series([10, 5])], RANGE, true, new Set([0]));
  assert.deepEqual(drawn[1], [null, 5, null]);
});

test("what is not a number is a gap", () => {
  assert.deepEqual(columnsOf([series([10, NaN], [20, Infinity])], RANGE, false).plain, [
    [null, null, null, null],
  ]);
});
