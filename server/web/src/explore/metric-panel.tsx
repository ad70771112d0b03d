// PromQL: over the range as a chart, or at its end as a table.
import { instant, range as queryRange } from "../api/prometheus";
import { gridOf, type TimeRange } from "../ui/range";
import { Busy } from "./busy";
import { Explain } from "./explain";
import { PanelTools, titled, type Place } from "./panel-tools";
import { QueryBox } from "./query-box";
import { SeriesView, VIEWS, type View } from "./series-view";
import { useQuery } from "./use-query";
import { ViewSwitch } from "./view-switch";

interface Props {
  place: Place;
  query: string;
  view: View;
  range: TimeRange;
  /** Counts up with each refresh. */
  tick: number;
  change: (changes: Record<string, string | undefined>) => void;
}

export function MetricPanel({ place, query, view, range, tick, change }: Props) {
  const isIdle = query === "" || view === "explain";
  const isTable = view === "table";
  const key = isIdle ? "" : JSON.stringify([query, isTable, range, tick]);
  const { asked, run, cancel } = useQuery(key, async (abort) => {
    const grid = gridOf(range, Date.now());
    const end = range.kind === "last" ? Date.now() / 1000 : grid.end;
    const answer = await (isTable ? instant(query, end, abort) : queryRange(query, grid, abort));
    return { answer, grid };
  });
  const isBusy = asked.state === "busy";
  return (
    <section class="panel" aria-label={titled("Metrics", place)}>
      <div class="panel-head">
        <h2 class="grow">{titled("Metrics", place)}</h2>
        <ViewSwitch
          views={VIEWS}
          view={view}
          choose={(view) => change({ view: view === "chart" ? undefined : view })}
        />
        <PanelTools {...place} />
      </div>
      <QueryBox
        language="promql"
        placeholder="PromQL, for example: sum by (mode) (rate(node_cpu_seconds_total[1m]))"
        query={query}
        isBusy={isBusy}
        fault={asked.state === "failed" ? asked.message : ""}
        run={(text) => (text === query ? void run() : change({ promql: text }))}
        cancel={cancel}
      />
      {query !== "" && view === "explain" && (
        <Explain path="/api/v1/explain" query={query} range={range} />
      )}
      {isBusy && !asked.answer && <Busy what="Running" />}
      {asked.state === "failed" && (
        <div class="result" data-testid="promql-result">
          <p class="error mono small" role="alert">
            {asked.message}
          </p>
        </div>
      )}
      {!isIdle && asked.answer && (
        <div class="result" data-testid="promql-result" aria-busy={isBusy}>
          {isBusy && <Busy what="Running" isOver />}
          <SeriesView
            answer={asked.answer.answer}
            view={view}
            range={asked.answer.grid}
            took_ms={asked.took_ms}
            zoom={(from, to) =>
              change({ range: undefined, from: String(Math.round(from)), to: String(Math.round(to)) })
            }
            empty="No series for this query in this range. The editor offers the metrics there are."
          />
        </div>
      )}
    </section>
  );
}
