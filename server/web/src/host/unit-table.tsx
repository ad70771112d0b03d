// Every unit of a host with what it used: sortable, filterable, as long as it may be.
import { useMemo, useRef, useState } from "preact/hooks";
import "./unit-table.css";
import { usePoll } from "../api/poll";
import { Sparkline } from "../home/sparkline";
import { Link, note, useRoute } from "../route";
import { bytes, counted, duration } from "../ui/format";
import type { TimeRange } from "../ui/range";
import { Trouble } from "../ui/trouble";
import { useRowsInSight } from "../ui/windowed";
import { changed, rangeOnly, unitHref } from "./address";
import { cores, ofSecond, plain, seconds } from "./measures";
import {
  COLUMNS,
  filtered,
  keyOf,
  sorted,
  unitRows,
  type Column,
  type SortBy,
  type UnitRow,
  type Window,
} from "./unit-rows";

const REFRESH_MS = 30_000;
const NEVER_MS = 86_400_000;
/** As `--row` of unit-table.css. */
const ROW_PX = 36;
/** A longer window would read more samples than a query may. */
const WINDOW_S_MAX = 7 * 86_400;
const GRID_S = 15;

const TITLES: Record<SortBy, string> = {
  unit: "Unit",
  cpu: "CPU",
  wait: "Wait",
  memory: "Memory",
  io: "Disk I/O",
  network: "Network",
  tasks: "Tasks",
  restarts: "Restarts",
};
const HINTS: Record<Column, string> = {
  cpu: "cores, on average",
  wait: "time a second in which threads could run and waited for a CPU, added up over threads",
  memory: "the most it held, page cache included",
  io: "read and written",
  network: "at its sockets, both ways",
  tasks: "threads, at most",
  restarts: "by systemd, because of Restart=",
};
const FORMATS: Record<Column, (value: number) => string> = {
  cpu: cores,
  wait: (value) => `${seconds(value)}/s`,
  memory: bytes,
  io: ofSecond,
  network: ofSecond,
  tasks: plain,
  restarts: (value) => String(Math.round(value)),
};

interface Props {
  host: string;
  range: TimeRange;
  change: (changes: Record<string, string | undefined>) => void;
}

export function UnitTable({ host, range, change }: Props) {
  const { path, query } = useRoute();
  const by = sortOf(query.get("sort"));
  const isReversed = query.get("order") === "reversed";
  const [text, setText] = useState(query.get("filter") ?? "");
  const key = JSON.stringify([host, range]);
  const { data, error } = usePoll(key, range.kind === "fixed" ? NEVER_MS : REFRESH_MS, async (abort) => {
    const window = windowOf(range, Date.now());
    return { key, window, rows: await unitRows(host, window, abort) };
  });
  const shown = useMemo(
    () => sorted(filtered(data?.rows ?? [], text), by, isReversed),
    [data, text, by, isReversed],
  );
  if (data && data.rows.length === 0 && !error) return null;
  const sort = (column: SortBy) =>
    change({
      sort: column === "cpu" ? undefined : column,
      order: column === by && !isReversed ? "reversed" : undefined,
    });
  return (
    <section class="panel unit-table" aria-label="Units" data-testid="units">
      <div class="panel-head">
        <h2>Units</h2>
        <span class="muted small grow">
          {data && `${counted(data.rows.length, "unit")} over ${duration(data.window.seconds)}`}
          {data && range.kind === "last" && data.window.seconds < range.seconds && ", the newest of it"}
        </span>
        <input
          type="search"
          aria-label="Filter units"
          placeholder="Filter units…"
          value={text}
          onInput={(event) => {
            const filter = event.currentTarget.value;
            setText(filter);
            note(`${path}?${changed(new URLSearchParams(location.search), { filter })}`);
          }}
        />
      </div>
      <Trouble error={error} />
      {!data && !error && <p class="message">Asking for the units…</p>}
      {data && (
        <Rows
          rows={shown}
          window={data.window}
          isStale={data.key !== key}
          by={by}
          isReversed={isReversed}
          sort={sort}
          href={(row) => {
            const kept = changed(rangeOnly(query), { container: row.container });
            return unitHref(host, row.unit, kept);
          }}
        />
      )}
    </section>
  );
}

interface RowsProps {
  rows: UnitRow[];
  window: Window;
  isStale: boolean;
  by: SortBy;
  isReversed: boolean;
  sort: (column: SortBy) => void;
  href: (row: UnitRow) => string;
}

function Rows({ rows, window, isStale, by, isReversed, sort, href }: RowsProps) {
  const box = useRef<HTMLDivElement>(null);
  const { first, end } = useRowsInSight(box, rows.length, ROW_PX, ROW_PX);
  const head = (column: SortBy) => (
    <th
      key={column}
      scope="col"
      class={column === "unit" ? "" : "number"}
      aria-sort={column !== by ? "none" : isReversed === (column === "unit") ? "descending" : "ascending"}
    >
      <button
        type="button"
        title={column === "unit" ? undefined : HINTS[column]}
        onClick={() => sort(column)}
      >
        {TITLES[column]}
        <span aria-hidden="true">{column === by ? (isReversed ? " ↑" : " ↓") : ""}</span>
      </button>
    </th>
  );
  return (
    <div class={isStale ? "rows stale" : "rows"} ref={box} tabIndex={0} role="region" aria-label="Rows of units">
      <table class="small" aria-rowcount={rows.length + 1}>
        <thead>
          <tr aria-rowindex={1}>
            {head("unit")}
            {head("cpu")}
            <th scope="col" class="course">
              <span class="visually-hidden">Course of CPU</span>
            </th>
            {COLUMNS.slice(1).map(head)}
          </tr>
        </thead>
        <tbody>
          {first > 0 && <tr style={{ height: `${first * ROW_PX}px` }} />}
          {rows.slice(first, end).map((row, i) => (
            <Row key={keyOf(row)} row={row} index={first + i + 2} window={window} href={href(row)} />
          ))}
          {end < rows.length && <tr style={{ height: `${(rows.length - end) * ROW_PX}px` }} />}
        </tbody>
      </table>
      {rows.length === 0 && <p class="message">No unit’s name fits the filter.</p>}
    </div>
  );
}

interface RowProps {
  row: UnitRow;
  index: number;
  window: Window;
  href: string;
}

function Row({ row, index, window: { end, seconds }, href }: RowProps) {
  const { unit, container, spark } = row;
  const top = Math.max(0.01, ...spark.values.filter(Number.isFinite));
  const figure = (column: Column) => (
    <td key={column} class="number num">
      {Number.isFinite(row[column]) ? FORMATS[column](row[column]) : ""}
    </td>
  );
  return (
    <tr aria-rowindex={index} data-testid="unit-row">
      <th scope="row">
        <div>
          <Link class="ellipsis" href={href} title={unit}>
            {unit}
          </Link>
          {container && (
            <span class="container ellipsis" title={`in container ${container}`}>
              {container}
            </span>
          )}
        </div>
      </th>
      {figure("cpu")}
      <td class="course">
        {spark.values.length > 0 && (
          <Sparkline
            lines={[spark]}
            window={[end - seconds, end]}
            max={top}
            gap_s={seconds / 8}
            label={`CPU, at most ${cores(top)}`}
          />
        )}
      </td>
      {COLUMNS.slice(1).map(figure)}
    </tr>
  );
}

/** Ends on the grid of samples, so that the same question comes again within it. */
function windowOf(range: TimeRange, nowMs: number): Window {
  const end_ms = range.kind === "last" ? nowMs : range.to;
  const seconds = range.kind === "last" ? range.seconds : (range.to - range.from) / 1000;
  return {
    end: Math.floor(end_ms / 1000 / GRID_S) * GRID_S,
    seconds: Math.round(Math.min(WINDOW_S_MAX, Math.max(120, seconds))),
  };
}

function sortOf(text: string | null): SortBy {
  if (text === "unit") return "unit";
  return COLUMNS.find((column) => column === text) ?? "cpu";
}
