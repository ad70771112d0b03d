import assert from "node:assert/strict";
import { test } from "node:test";
import { RowHeights } from "./row-heights";

test("rows lie below each other, and a place names its row", () => {
  const heights = new RowHeights(1000, 20);
  assert.equal(heights.top(1000), 20_000);
  assert.ok(heights.set(3, 100));
  assert.ok(!heights.set(3, 100));
  assert.equal(heights.top(4), 160);
  assert.deepEqual([0, 59, 60, 159, 160, 1e9].map((y) => heights.rowAt(y)), [0, 2, 3, 3, 4, 999]);
});

test("every row's upper edge is in that row, whatever its neighbours' heights are", () => {
  const heights = new RowHeights(777, 10);
  for (let row = 0; row < 777; row += 1) heights.set(row, 10 + ((row * 37) % 50));
  let top = 0;
  for (let row = 0; row < 777; row += 1) {
    assert.equal(heights.top(row), top);
    assert.equal(heights.rowAt(top), row);
    top += 10 + ((row * 37) % 50);
  }
  assert.equal(heights.top(777), top);
});

test("no rows have no height", () => {
  const heights = new RowHeights(0, 10);
  assert.deepEqual([heights.top(0), heights.top(5), heights.rowAt(100)], [0, 0, 0]);
});
