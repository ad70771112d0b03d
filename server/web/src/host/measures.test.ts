import assert from "node:assert/strict";
import { test } from "node:test";
import { axisPercent, cores, degrees, ofSecond, seconds } from "./measures";

test("cores keep the digits that tell", () => {
  const found = [0, 0.0123, 1, 2.149, 31.96, NaN].map(cores);
  assert.deepEqual(found, ["0 cores", "0.012 cores", "1.00 core", "2.15 cores", "32.0 cores", "–"]);
});

test("latencies choose their unit", () => {
  const found = [0, 0.00034, 0.0012, 0.25, 3.21, NaN].map(seconds);
  assert.deepEqual(found, ["0 s", "340 µs", "1.2 ms", "250 ms", "3.2 s", "–"]);
});

test("rates, percents and degrees", () => {
  assert.equal(ofSecond(1_234_567), "1.23 MB/s");
  assert.equal(ofSecond(0.004), "0 B/s");
  assert.equal(axisPercent(50), "50 %");
  assert.equal(axisPercent(0.25), "0.25 %");
  assert.equal(degrees(41.6), "42 °C");
});
