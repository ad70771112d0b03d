// PromQL: over the range as a chart, or at its end as a table.
import { instant, range as queryRange, type Answer, type Range } from "../api/prometheus";
import { Chart } from "../chart/chart";
import { QueryBox } from "./query-box";
import { gridOf, type TimeRange } from "../ui/range";
import { Table } from "./table";
import { useQuery, type Asked } from "./use-query";

const VIEWS = ["chart", "table"] as const;
export type View = (typeof VIEWS)[number];

interface Props {
  query: string;
  view: View;
  range: TimeRange;
  change: (changes: Record<string, string | undefined>) => void;
}

export function MetricPanel({ query, view, range, change }: Props) {
  const key = query && JSON.stringify([query, view, range]);
  const { asked, run, cancel } = useQuery(key, async (abort) => {
    const grid = gridOf(range, Date.now());
    const end = range.kind === "last" ? Date.now() / 1000 : grid.end;
    const isChart = view === "chart";
    const answer = await (isChart ? queryRange(query, grid, abort) : instant(query, end, abort));
    return { answer, grid };
  });
  return (
    <section class="panel" aria-label="Metrics">
      <div class="panel-head">
        <h2 class="grow">Metrics</h2>
        <div class="segmented" role="group" aria-label="View">
          {VIEWS.map((name) => (
            <button
              key={name}
              type="button"
              aria-pressed={view === name}
              onClick={() => change({ view: name === "chart" ? undefined : name })}
            >
              {name === "chart" ? "Chart" : "Table"}
            </button>
          ))}
        </div>
      </div>
      <QueryBox
        language="promql"
        label="PromQL query"
        placeholder="PromQL, for example: sum by (mode) (rate(node_cpu_seconds_total[1m]))"
        query={query}
        isBusy={asked.state === "busy"}
        run={(text) => (text === query ? void run() : change({ promql: text }))}
        cancel={cancel}
      />
      <Result asked={asked} view={view} />
    </section>
  );
}

function Result({ asked, view }: { asked: Asked<{ answer: Answer; grid: Range }>; view: View }) {
  if (asked.state === "idle") return null;
  if (asked.state === "busy") return <p class="result message">Running…</p>;
  if (asked.state === "failed") {
    return (
      <div class="result" data-testid="promql-result">
        <p class="error mono small" role="alert">
          {asked.message}
        </p>
      </div>
    );
  }
  const { answer, grid } = asked.answer;
  const { series, warnings, type } = answer;
  const isChart = type === "matrix" && view === "chart";
  return (
    <div class="result" data-testid="promql-result">
      {warnings.map((warning) => (
        <p key={warning} class="result-note">
          {warning}
        </p>
      ))}
      {series.length === 0 && <p class="message">No series for this query in this range.</p>}
      {series.length > 0 && isChart && <Chart series={series} range={grid} />}
      {series.length > 0 && !isChart && <Table series={series} />}
      <p class="result-note">
        {series.length} series in {Math.round(asked.took_ms)} ms
      </p>
    </div>
  );
}
