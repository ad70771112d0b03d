import assert from "node:assert/strict";
import { test } from "node:test";
import { agoOf, lengthOf, timeOf, timeText } from "./time-text";

const NOW_MS = new Date("2026-11-23T14:30:15").getTime();
const local = (text: string) => new Date(text).getTime();

test("a length has numbers with units, and nothing else", () => {
  assert.deepEqual(["90m", "1h30m", "1.5h", "2w", "45s"].map(lengthOf), [5400, 5400, 5400, 1_209_600, 45]);
  for (const nonsense of ["", "90", "m", "1h 30m", "0m", "-1h", "1x", "1.2.3h"]) {
    assert.ok(!(Number(lengthOf(nonsense)) > 0), nonsense);
  }
});

test("times are before now, of today, or of a day", () => {
  const cases: [string, number][] = [
    ["now", NOW_MS],
    [" Now - 90m ", NOW_MS - 5_400_000],
    ["14:00", local("2026-11-23T14:00")],
    ["9:05:30", local("2026-11-23T09:05:30")],
    ["2026-11-20", local("2026-11-20T00:00")],
    ["2026-11-20 08:15", local("2026-11-20T08:15")],
    ["2026-11-20T08:15:01Z", Date.UTC(2026, 10, 20, 8, 15, 1)],
  ];
  for (const [text, ms] of cases) assert.equal(timeOf(text, NOW_MS), ms, text);
  for (const nonsense of ["", "yesterday", "now+1h", "25:00", "2026-13-01", "1790000000"]) {
    assert.equal(timeOf(nonsense, NOW_MS), undefined, nonsense);
  }
});

test("only times before now move with it", () => {
  assert.deepEqual(["now", "now-1h30m", "14:00"].map(agoOf), [0, 5400, undefined]);
});

test("a time is written as it is read", () => {
  for (const ms of [local("2026-11-20T08:15"), local("2026-11-20T08:15:07")]) {
    assert.equal(timeOf(timeText(ms), NOW_MS), ms);
  }
});
