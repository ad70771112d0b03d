// Ranges of time as the address says them: `range=1h` up to now, or `from=` and `to=` in ms.
import type { Range } from "../api/prometheus";

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
/** Points of a chart; more would be closer together than pixels. */
const POINTS_MAX = 480;
const STEPS_S = [5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 43200, 86400];

export function rangeOf(query: URLSearchParams): TimeRange {
  const from = Number(query.get("from"));
  const to = Number(query.get("to"));
  if (from > 0 && to > from) return { kind: "fixed", from, to };
  const preset = PRESETS.find(([name]) => name === query.get("range"));
  return { kind: "last", seconds: preset?.[1] ?? DEFAULT_S };
}

/** Start, end and step in seconds, on the grid of the step. */
export function gridOf(range: TimeRange, nowMs: number): Range {
  const end = range.kind === "last" ? nowMs / 1000 : range.to / 1000;
  const start = range.kind === "last" ? end - range.seconds : range.from / 1000;
  const wanted = (end - start) / POINTS_MAX;
  const step = STEPS_S.find((step) => step >= wanted) ?? Math.ceil(wanted / 86400) * 86400;
  return { start: Math.floor(start / step) * step, end: Math.ceil(end / step) * step, step };
}
