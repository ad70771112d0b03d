// The most striking span of a chart: around its highest point, as long as it is well above usual.
import type { Series } from "../api/prometheus";
import type { Span } from "../chart/selection";

/** The sum of layers, or the highest of lines, at each time. */
export function outline(series: Series[], isStacked: boolean): [number, number][] {
  const points = new Map<number, number>();
  for (const { times, values } of series) {
    times.forEach((time, i) => {
      const value = values[i] ?? NaN;
      if (!Number.isFinite(value)) return;
      const old = points.get(time);
      const joined = isStacked ? (old ?? 0) + value : Math.max(old ?? value, value);
      points.set(time, joined);
    });
  }
  return [...points].sort(([a], [b]) => a - b);
}

/** `window` is how far back each point looks: what made it high may lie that far before it. */
export function peakOf(points: [number, number][], window: number): Span | undefined {
  const values = points.map(([, value]) => value);
  if (values.length < 3) return undefined;
  const top = values.reduce((best, value, i) => (value > (values[best] ?? 0) ? i : best), 0);
  const peak = values[top] ?? 0;
  const usual = [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? 0;
  const half = usual + (peak - usual) / 2;
  if (!(peak > half)) return undefined;
  let [first, end] = [top, top];
  while ((values[first - 1] ?? -Infinity) > half) first -= 1;
  while ((values[end + 1] ?? -Infinity) > half) end += 1;
  const time = (i: number) => points[i]?.[0] ?? 0;
  return { from: time(first) - window, to: time(end) };
}

/** The line that rose most from before the span into it, by its place; undefined without any. */
export function riser(series: Series[], { from, to }: Span): number | undefined {
  const mean = (one: Series, start: number, end: number) => {
    const within = one.values.filter((value, i) => {
      const time = one.times[i] ?? 0;
      return Number.isFinite(value) && time > start && time <= end;
    });
    return within.length === 0 ? 0 : within.reduce((sum, it) => sum + it, 0) / within.length;
  };
  const rises = series.map((one) => mean(one, from, to) - mean(one, from - (to - from), from));
  const best = Math.max(...rises);
  return rises.length === 0 ? undefined : rises.indexOf(best);
}
