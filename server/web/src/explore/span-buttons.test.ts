import assert from "node:assert/strict";
import { test } from "node:test";
import { moved } from "./span-buttons";

test("a range moves by its half, widens to twice, and never ends in the future", () => {
  const fixed = { kind: "fixed" as const, from: 1000, to: 3000 };
  const at = (way: "back" | "on" | "out", now = 1e6) => {
    const { from, to } = moved(fixed, way, now);
    return [from, to];
  };
  assert.deepEqual(at("back"), ["0", "2000"]);
  assert.deepEqual(at("on"), ["2000", "4000"]);
  assert.deepEqual(at("on", 3500), ["1500", "3500"]);
  assert.deepEqual(at("out"), ["0", "4000"]);
  assert.deepEqual(at("out", 3000), ["0", "3000"]);
  assert.deepEqual(moved({ kind: "last", seconds: 10 }, "back", 20_000), { range: undefined, from: "5000", to: "15000" });
});
