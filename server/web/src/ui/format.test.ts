import assert from "node:assert/strict";
import { test } from "node:test";
import { bytes, counted, duration, percent, seriesName, telling, timeOfDay, value } from "./format";

test("bytes keep three figures and change the unit before a fourth", () => {
  assert.deepEqual(
    [0, 7, 999, 999.6, 1000, 12_345, 99_960, 999_999, 1e9, 8.2e9, 5e18, NaN].map(bytes),
    ["0 B", "7 B", "999 B", "1 kB", "1 kB", "12.3 kB", "100 kB", "1 MB", "1 GB", "8.2 GB", "5000 PB", "–"],
  );
});

test("percent shows a decimal only where it tells something", () => {
  assert.deepEqual([0, 0.04, 9.94, 9.96, 99.6, NaN].map(percent), ["0.0 %", "0.0 %", "9.9 %", "10 %", "100 %", "–"]);
});

test("values of any size stay short and say what is not a number", () => {
  assert.deepEqual(
    [0, 0.12345, 0.00001234, 1, -1500, 1e6, Infinity, -Infinity, NaN].map(value),
    ["0", "0.123", "1.23e-5", "1", "-1.5 k", "1 M", "Inf", "-Inf", "NaN"],
  );
});

test("durations name their two largest units", () => {
  assert.deepEqual(
    [0, 59, 60, 3599, 3600, 90_000, 100 * 86_400, -1, NaN].map(duration),
    ["0 s", "59 s", "1 min", "59 min", "1 h 0 min", "1 d 1 h", "100 d", "–", "–"],
  );
});

test("one of a thing has no s", () => {
  assert.deepEqual([0, 1, 2].map((n) => counted(n, "line")), ["0 lines", "1 line", "2 lines"]);
});

test("a time of another day carries its date", () => {
  const noon = new Date(2026, 10, 22, 12, 0, 5).getTime();
  assert.equal(timeOfDay(noon, noon), "12:00:05");
  assert.equal(timeOfDay(noon, noon + 86_400_000), "11-22 12:00:05");
});

test("series are named as PromQL writes them, and in a list only by what differs", () => {
  assert.equal(seriesName({ __name__: "up", job: 'a"b' }), 'up{job="a\\"b"}');
  assert.equal(seriesName({}), "{}");
  const all = [{ __name__: "up", job: "a", host: "x" }, { __name__: "up", job: "b", host: "x" }];
  assert.deepEqual(telling(all), [{ job: "a" }, { job: "b" }]);
  assert.deepEqual(telling(all.slice(0, 1)), all.slice(0, 1));
});
