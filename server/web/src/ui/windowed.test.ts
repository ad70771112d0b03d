import assert from "node:assert/strict";
import { test } from "node:test";
import { rowsInSight } from "./windowed";

test("the rows in sight are there, and never more than there are", () => {
  assert.deepEqual(rowsInSight(0, 300, 30, 1000), { first: 0, end: 20 });
  assert.deepEqual(rowsInSight(6000, 300, 30, 1000), { first: 190, end: 220 });
  assert.deepEqual(rowsInSight(29_700, 300, 30, 1000), { first: 980, end: 1000 });
  assert.deepEqual(rowsInSight(0, 300, 30, 3), { first: 0, end: 3 });
  assert.deepEqual(rowsInSight(0, 300, 30, 0), { first: 0, end: 0 });
});

test("a list that became shorter below the scroll position shows its end", () => {
  const { first, end } = rowsInSight(30_000, 300, 30, 50);
  assert.ok(first <= end && end === 50);
});
