// Units of a host as rows of a table: what each used over a window, sorted and filtered.
import { instant, last, range, type Labels, type Series } from "../api/prometheus";
import { matchers, type Scope } from "./scope";

export interface UnitRow {
  unit: string;
  container: string;
  /** Cores, and their course. */
  cpu: number;
  spark: { times: number[]; values: number[] };
  /** Seconds a second in which it could run and had to wait. */
  wait: number;
  /** Bytes; the most it held. */
  memory: number;
  /** Bytes a second. */
  io: number;
  network: number;
  tasks: number;
  /** In the window. */
  restarts: number;
}

export const COLUMNS = ["cpu", "wait", "memory", "io", "network", "tasks", "restarts"] as const;
export type Column = (typeof COLUMNS)[number];
export type SortBy = Column | "unit";

/** Points of a row's course, and how many of the busiest have one: thousands take long to read. */
const SPARK_POINTS = 24;
const COURSES_MAX = 300;

export interface Window {
  end: number;
  seconds: number;
}

export async function unitRows(host: string, window: Window, abort: AbortSignal): Promise<UnitRow[]> {
  const scope = { host };
  const { end, seconds } = window;
  const span = `[${seconds}s]`;
  const ask = async (query: string) => (await instant(query, end, abort)).series;
  const rate = (name: string, over = span) => sum(`rate(${name}{${matchers(scope)}}${over})`);
  const most = (name: string) => sum(`max_over_time(${name}{${matchers(scope)}}${span})`);
  const step = Math.max(60, Math.round(seconds / SPARK_POINTS / 15) * 15);
  const grid = { start: end - seconds + step, end, step };
  const cpu = (over: string) =>
    `${rate("unit_cpu_seconds_total", over)} or ${rate("unit_cpu_mode_seconds_total", over)}`;
  const busiest = `topk(${COURSES_MAX}, ${cpu(`${span} @ ${end}`)})`;
  const [course, all, wait, memory, io, network, tasks, restarts] = await Promise.all([
    range(`(${cpu(`[${step}s]`)}) and ${busiest}`, grid, abort).then((it) => it.series),
    ask(cpu(span)),
    ask(`${rate("unit_run_queue_wait_seconds_sum")} or ${waits(scope, span)}`),
    ask(most("unit_memory_current_bytes")),
    ask(`${rate("unit_block_bytes_total")} or ${rate("unit_io_bytes_total")}`),
    ask(rate("unit_network_bytes_total")),
    ask(most("unit_tasks")),
    ask(sum(`increase(unit_restarts_total{${matchers(scope)}}${span})`)),
  ]);
  return joined({ cpu: all, course, wait, memory, io, network, tasks, restarts });
}

const sum = (inner: string) => `sum by (unit, container) (${inner})`;

const waits = (scope: Pick<Scope, "host">, span: string) =>
  sum(`rate(unit_pressure_waiting_seconds_total{${matchers(scope, 'resource="cpu"')}}${span})`);

/** One row a unit, whichever of the answers it is in. */
export function joined({ course, ...answers }: Record<Column | "course", Series[]>): UnitRow[] {
  const rows = new Map<string, UnitRow>();
  const rowOf = ({ unit = "", container = "" }: Labels): UnitRow => {
    const key = keyOf({ unit, container });
    const row = rows.get(key) ?? { ...EMPTY, unit, container };
    rows.set(key, row);
    return row;
  };
  for (const column of COLUMNS) {
    for (const series of answers[column]) rowOf(series.labels)[column] = last(series);
  }
  for (const { labels, times, values } of course) rowOf(labels).spark = { times, values };
  return [...rows.values()];
}

const EMPTY = {
  cpu: NaN,
  spark: { times: [], values: [] },
  wait: NaN,
  memory: NaN,
  io: NaN,
  network: NaN,
  tasks: NaN,
  restarts: NaN,
};

export function keyOf({ unit, container }: Pick<UnitRow, "unit" | "container">): string {
  return JSON.stringify([unit, container]);
}

/** Names ascend, figures descend; what is not known comes last either way. */
export function sorted(rows: UnitRow[], by: SortBy, isReversed: boolean): UnitRow[] {
  const sign = isReversed ? -1 : 1;
  const name = (a: UnitRow, b: UnitRow) =>
    a.unit.localeCompare(b.unit) || a.container.localeCompare(b.container);
  if (by === "unit") return [...rows].sort((a, b) => sign * name(a, b));
  return [...rows].sort((a, b) => {
    const [x, y] = [a[by], b[by]];
    if (Number.isNaN(x) || Number.isNaN(y)) return Number(Number.isNaN(x)) - Number(Number.isNaN(y)) || name(a, b);
    return sign * (y - x) || name(a, b);
  });
}

/** Rows whose unit or container contains every word. */
export function filtered(rows: UnitRow[], text: string): UnitRow[] {
  const words = text.toLowerCase().split(/\s+/).filter((word) => word !== "");
  if (words.length === 0) return rows;
  return rows.filter(({ unit, container }) => {
    const name = `${unit} ${container}`.toLowerCase();
    return words.every((word) => name.includes(word));
  });
}
