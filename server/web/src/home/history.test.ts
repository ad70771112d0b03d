import assert from "node:assert/strict";
import { test } from "node:test";
import { daysOf, keyOf, uptimeText, type ServiceDay } from "./history";

const dayOf = (told: Omit<ServiceDay, "group" | "service">) => {
  const service = { group: "Media", service: "Jellyfin", ...told };
  return daysOf({ start: 1800, step: 1800, services: [service] }).of.get(keyOf("Media", "Jellyfin"));
};

test("the curve, the times it was down and the uptime of a service come together", () => {
  const day = dayOf({ response: [0.01, null, 0.03], up: [1, null, 0], uptime: 97.5 });
  assert.deepEqual(day?.response, { times: [1800, 5400], values: [0.01, 0.03] });
  assert.deepEqual(day?.downs, [[3600, 5400]]);
  assert.equal(day?.uptime, 97.5);
  assert.equal(day?.top, 0.04);
});

test("a service that never answered has no curve, but was down", () => {
  const day = dayOf({ response: [], up: [0], uptime: null });
  assert.deepEqual(day?.response.values, []);
  assert.deepEqual(day?.downs, [[0, 1800]]);
});

test("what was ever down is not up 100 %", () => {
  assert.deepEqual([100, 99.999, 99.5, 97.25, 0].map(uptimeText), ["100 %", "99.99 %", "99.50 %", "97.2 %", "0.0 %"]);
  assert.equal(uptimeText(NaN), "");
});
