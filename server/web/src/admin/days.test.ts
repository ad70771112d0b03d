import assert from "node:assert/strict";
import { test } from "node:test";
import type { Day } from "../api/admin";
import { daysOf } from "./days-of";

function day(name: string, bytes: number): Day {
  return { day: name, bytes, rows: 1, parts: 2, unmerged_parts: 1, oldest_unix_ms: 0, newest_unix_ms: 0 };
}

test("a day adds up what each table has of it, the newest first", () => {
  const table = (name: string, days: Day[]) => ({ name, bytes: 0, rows: 0, parts: 0, days });
  const tables = [
    table("samples", [day("2026-11-21", 10), day("2026-11-22", 20)]),
    table("histograms", [day("2026-11-22", 1)]),
    table("logs", [day("2026-11-22", 300)]),
    table("samples_5m", [day("2026-11-20", 4)]),
  ];
  const next = [{ table: "samples", day: "2026-11-21", parts: 2, bytes: 10 }];
  const rows = daysOf(tables, next);
  assert.deepEqual(
    rows.map((it) => [it.day, it.samples, it.logs, it.rollups, it.total, it.parts, it.unmerged, it.goesNext]),
    [
      ["2026-11-22", 21, 300, 0, 321, 6, 3, false],
      ["2026-11-21", 10, 0, 0, 10, 2, 1, true],
      ["2026-11-20", 0, 0, 4, 4, 2, 1, false],
    ],
  );
});
