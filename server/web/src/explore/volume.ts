// How many lines there are of each level over time.
import { LEVELS, levelNamed, queryRange, type Level } from "../api/loki";
import type { Range, Series } from "../api/prometheus";
import { counting, logQueryOf } from "./logql-text";

export interface Volume {
  levels: Level[];
  series: Series[];
  range: Range;
  /** Of each level, in all of the range. */
  counts: number[];
}

const BUCKETS = 80;
const STEPS_S = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 43200, 86400];

/** Buckets of a round width that cover the range. */
export function bucketsOf({ start, end }: Range): Range {
  const wanted = (end - start) / BUCKETS;
  const step = STEPS_S.find((step) => step >= wanted) ?? Math.ceil(wanted / 86400) * 86400;
  return { start: Math.floor(start / step) * step, end: Math.ceil(end / step) * step, step };
}

export async function volumeOf(query: string, range: Range, abort: AbortSignal): Promise<Volume> {
  const buckets = bucketsOf(range);
  const lines = logQueryOf(query);
  if (lines === undefined) return { levels: [], series: [], range: buckets, counts: [] };
  const counts = `sum by (level, detected_level) (${counting(lines, `${buckets.step}s`)})`;
  const answer = await queryRange(counts, buckets, 1, abort);
  return byLevel(answer.type === "metrics" ? answer.answer.series : [], buckets);
}

/** Names of one level are added up; the worst level is first, and so at the bottom. */
export function byLevel(all: Series[], range: Range): Volume {
  const sums = new Map<Level, Map<number, number>>();
  for (const { labels, times, values } of all) {
    const level = levelNamed(labels.level || labels.detected_level || "") ?? "unknown";
    const sum = sums.get(level) ?? new Map<number, number>();
    sums.set(level, sum);
    times.forEach((time, i) => sum.set(time, (sum.get(time) ?? 0) + (values[i] ?? 0)));
  }
  const levels = [...LEVELS, "unknown" as const].filter((level) => sums.has(level));
  const times: number[] = [];
  for (let at = range.start; at <= range.end; at += range.step) times.push(at);
  const series = levels.map((level) => {
    const sum = sums.get(level);
    return { labels: { level }, times, values: times.map((time) => sum?.get(time) ?? 0) };
  });
  const counts = series.map(({ values }) => values.reduce((sum, it) => sum + it, 0));
  return { levels, series, range, counts };
}
