// Units of a host as rows of a table: what each used over a window, sorted and filtered.
import { instant, range, type Labels, type Series } from "../api/prometheus";
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

/** Points of a row's course. */
const SPARK_POINTS = 24;

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
  const course = (name: string) => rate(name, `[${step}s]`);
  const cpu = `${course("unit_cpu_seconds_total")} or ${course("unit_cpu_mode_seconds_total")}`;
  const [spark, wait, memory, io, network, tasks, restarts] = await Promise.all([
    range(cpu, grid, abort).then((it) => it.series),
    ask(`${rate("unit_run_queue_wait_seconds_sum")} or ${waits(scope, span)}`),
    ask(most("unit_memory_current_bytes")),
    ask(`${rate("unit_block_bytes_total")} or ${rate("unit_io_bytes_total")}`),
    ask(rate("unit_network_bytes_total")),
    ask(most("unit_tasks")),
    ask(sum(`increase(unit_restarts_total{${matchers(scope)}}${span})`)),
  ]);
  return joined({ cpu: spark, wait, memory, io, network, tasks, restarts });
}

const sum = (inner: string) => `sum by (unit, container) (${inner})`;

const waits = (scope: Pick<Scope, "host">, span: string) =>
  sum(`rate(unit_pressure_waiting_seconds_total{${matchers(scope, 'resource="cpu"')}}${span})`);

/** One row a unit, whichever of the answers it is in. */
export function joined(answers: Record<Column, Series[]>): UnitRow[] {
  const rows = new Map<string, UnitRow>();
  const rowOf = ({ unit = "", container = "" }: Labels): UnitRow => {
    const key = keyOf({ unit, container });
    const row = rows.get(key) ?? { ...EMPTY, unit, container };
    rows.set(key, row);
    return row;
  };
  for (const column of COLUMNS) {
    for (const { labels, times, values } of answers[column]) {
      const row = rowOf(labels);
      if (column !== "cpu") row[column] = values.at(-1) ?? NaN;
      else Object.assign(row, { cpu: mean(values), spark: { times, values } });
    }
  }
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

function mean(values: number[]): number {
  const finite = values.filter(Number.isFinite);
  return finite.reduce((total, value) => total + value, 0) / finite.length;
}

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
