// Ranges of time as the address says them: `range=90m` up to now, or `from=` and `to=` in ms.
import type { Range } from "../api/prometheus";
import { lengthOf } from "./time-text";

export type TimeRange = { kind: "last"; seconds: number } | { kind: "fixed"; from: number; to: number };

export const PRESETS: [string, number][] = [
  ["15m", 900],
  ["1h", 3600],
  ["6h", 6 * 3600],
  ["24h", 24 * 3600],
  ["7d", 7 * 24 * 3600],
  ["30d", 30 * 24 * 3600],
  ["1y", 365 * 24 * 3600],
];
const DEFAULT_S = 3600;
/** Less is no chart. */
const RANGE_S_MIN = 10;
const RANGE_S_MAX = 20 * 365 * 86_400;
/** Points of a chart; more would be closer together than pixels. */
const POINTS_MAX = 480;
const STEPS_S = [5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 43200, 86400];

export function rangeOf(query: URLSearchParams): TimeRange {
  const from = Number(query.get("from"));
  const to = Number(query.get("to"));
  if (from > 0 && to > from) return { kind: "fixed", from, to };
  const seconds = lengthOf(query.get("range") ?? "") ?? DEFAULT_S;
  return { kind: "last", seconds: Math.min(Math.max(seconds, RANGE_S_MIN), RANGE_S_MAX) };
}

/** As the address says it: `1h`, `90m`. */
export function rangeName(seconds: number): string {
  const preset = PRESETS.find((it) => it[1] === seconds);
  if (preset) return preset[0];
  const units: [string, number][] = [["d", 86_400], ["h", 3600], ["m", 60]];
  const [unit, length] = units.find(([, length]) => seconds % length === 0) ?? ["s", 1];
  return `${seconds / length}${unit}`;
}

/** Start, end and step in seconds, on the grid of the step. */
export function gridOf(range: TimeRange, nowMs: number): Range {
  const end = range.kind === "last" ? nowMs / 1000 : range.to / 1000;
  const start = range.kind === "last" ? end - range.seconds : range.from / 1000;
  const wanted = (end - start) / POINTS_MAX;
  const step = STEPS_S.find((step) => step >= wanted) ?? Math.ceil(wanted / 86400) * 86400;
  return { start: Math.floor(start / step) * step, end: Math.ceil(end / step) * step, step };
}
