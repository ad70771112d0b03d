// Series as uPlot wants them: columns on one axis of times, added up where they are stacked.
import type { Range, Series } from "../api/prometheus";

export type Column = (number | null)[];

export interface Columns {
  times: number[];
  /** As they came; what a series lacks is a gap. */
  plain: Column[];
  /** As they are drawn. */
  drawn: Column[];
}

/** All series on the union of their times and both ends of the range. */
export function columnsOf(
  series: Series[],
  { start, end }: Range,
  isStacked: boolean,
  hidden: ReadonlySet<number> = new Set(),
): Columns {
  const all = new Set([start, end, ...series.flatMap((one) => one.times)]);
  const times = [...all].sort((a, b) => a - b);
  const index = new Map(times.map((time, i) => [time, i]));
  const plain = series.map((one) => {
    const column: Column = new Array(times.length).fill(null);
    one.times.forEach((time, i) => {
      const at = index.get(time);
      const value = one.values[i] ?? NaN;
      if (at !== undefined && Number.isFinite(value)) column[at] = value;
    });
    return column;
  });
  return { times, plain, drawn: isStacked ? stacked(plain, hidden) : plain };
}

/** Each column on top of those before it. A gap adds nothing, and stays one only where all have it. */
function stacked(columns: Column[], hidden: ReadonlySet<number>): Column[] {
  const length = columns[0]?.length ?? 0;
  const isGap = Array.from({ length }, (_, at) => columns.every((column) => column[at] == null));
  const ground: number[] = new Array(length).fill(0);
  return columns.map((column, i) =>
    column.map((value, at) => {
      if (!hidden.has(i)) ground[at] = (ground[at] ?? 0) + (value ?? 0);
      return isGap[at] ? null : (ground[at] ?? 0);
    }),
  );
}
