// How many log lines of each level came when: counts of Loki's metric queries as bars.
import { LEVELS, levelNamed, type Level } from "../api/loki";
import type { Series } from "../api/prometheus";

export interface Bar {
  time: number;
  counts: Partial<Record<Level, number>>;
  total: number;
}

/** From the ground up: the worst stands on the ground, where heights compare. */
export const ORDER: readonly Level[] = [...LEVELS, "unknown"];

export function barsOf(series: Series[]): Bar[] {
  const bars = new Map<number, Bar>();
  for (const { labels, times, values } of series) {
    const level = levelNamed(labels.level ?? labels.detected_level ?? "") ?? "unknown";
    times.forEach((time, i) => {
      const count = values[i] ?? NaN;
      if (!(count > 0)) return;
      const bar = bars.get(time) ?? { time, counts: {}, total: 0 };
      bars.set(time, bar);
      bar.counts[level] = (bar.counts[level] ?? 0) + count;
      bar.total += count;
    });
  }
  return [...bars.values()].sort((a, b) => a.time - b.time);
}

export function totals(bars: Bar[]): [Level, number][] {
  return ORDER.flatMap((level): [Level, number][] => {
    const total = bars.reduce((sum, bar) => sum + (bar.counts[level] ?? 0), 0);
    return total > 0 ? [[level, total]] : [];
  });
}
