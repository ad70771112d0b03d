import assert from "node:assert/strict";
import { test } from "node:test";
import { formatted, type Format } from "./widget-format";

const written = (number: number, format: Partial<Format>) =>
  formatted(number, { format: "number", scale: 1, prefix: "", suffix: "", ...format });

test("a figure is written as its file wants it", () => {
  assert.equal(written(1234, { suffix: " W" }), "1.23 k W");
  assert.equal(written(0.42, { format: "percent", scale: 100 }), "42 %");
  assert.equal(written(2048, { format: "bytes_per_second", prefix: "≈ " }), "≈ 2.05 kB/s");
  assert.equal(written(7200, { format: "duration" }), "2 h 0 min");
});

test("no value is no number", () => {
  assert.equal(written(NaN, { suffix: " W" }), "no data");
});
