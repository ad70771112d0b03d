import assert from "node:assert/strict";
import { test } from "node:test";
import { joined, keyOf, uptimeText } from "./history";

const labels = { group: "Media", service: "Jellyfin" };

test("the curve, the times it was down and the uptime of a service come together", () => {
  const days = joined(
    [{ labels, times: [1800, 3600], values: [0.01, 0.03] }],
    [{ labels, times: [1800, 3600], values: [1, 0] }],
    [{ labels, times: [3600], values: [97.5] }],
  );
  const day = days.get(keyOf("Media", "Jellyfin"));
  assert.deepEqual(day?.downs, [[1800, 3600]]);
  assert.equal(day?.uptime, 97.5);
  assert.equal(day?.top, 0.04);
});

test("a service that never answered has no curve, but was down", () => {
  const days = joined([], [{ labels, times: [1800], values: [0] }], []);
  const day = days.get(keyOf("Media", "Jellyfin"));
  assert.deepEqual(day?.response.values, []);
  assert.deepEqual(day?.downs, [[0, 1800]]);
});

test("what was ever down is not up 100 %", () => {
  assert.deepEqual([100, 99.999, 99.5, 97.25, 0].map(uptimeText), ["100 %", "99.99 %", "99.50 %", "97.2 %", "0.0 %"]);
  assert.equal(uptimeText(NaN), "");
});
