// LogQL: lines with their volume and fields, live if wanted; metrics over lines as a chart.
import { useState } from "preact/hooks";
import "./log-panel.css";
import type { Field } from "../api/loki-labels";
import { queryRange, type LogAnswer } from "../api/loki";
import type { Range } from "../api/prometheus";
import { gridOf, type TimeRange } from "../ui/range";
import { Busy } from "./busy";
import { Explain } from "./explain";
import { asker, loadLines, type Loaded, type Order } from "./load-lines";
import { LogView } from "./log-view";
import { isMetric, selectorOf, withFilter, withMatcher } from "./logql-text";
import { PanelTools, titled, type Place } from "./panel-tools";
import { QueryBox } from "./query-box";
import { SeriesView, VIEWS } from "./series-view";
import { TailView } from "./tail-view";
import { useQuery } from "./use-query";
import { ViewSwitch } from "./view-switch";

export const LIMITS = [1_000, 10_000, 100_000];
/** Longer than the server's own limit, which says more. */
const TIMEOUT_MS = 150_000;

type Change = (changes: Record<string, string | undefined>) => void;

interface Props {
  place: Place;
  query: string;
  params: URLSearchParams;
  range: TimeRange;
  /** Counts up with each refresh. */
  tick: number;
  change: Change;
}

type Answer = (Loaded & { type: "lines" }) | Extract<LogAnswer, { type: "metrics" }>;

/** An answer and what it answers: the next question may be under way. */
interface Shown {
  grid: Range;
  query: string;
  answer: Answer;
  isPart: boolean;
}

export function LogPanel({ place, query, params, range, tick, change }: Props) {
  const [isLive, setLive] = useState(false);
  const order: Order = params.get("order") === "oldest" ? "oldest" : "newest";
  const limit = LIMITS.find((it) => String(it) === params.get("lines")) ?? LIMITS[0] ?? 1_000;
  const view = VIEWS.find((it) => it === params.get("logview")) ?? "chart";
  const isIdle = query === "" || isLive || view === "explain";
  const key = isIdle ? "" : JSON.stringify([query, range, order, limit, tick]);
  const { asked, run, cancel } = useQuery<Shown>(key, async (abort, tell) => {
    const grid = gridOf(range, Date.now());
    const answer = await ask(query, grid, limit, order, abort, (part) =>
      tell({ grid, query, answer: { type: "lines", ...part }, isPart: true }),
    );
    return { grid, query, answer, isPart: false };
  });
  const filter = (query: string) => change({ logql: query });
  const zoom = (from: number, to: number) =>
    change({ range: undefined, from: String(Math.round(from)), to: String(Math.round(to)) });
  const { answer } = asked;
  const isBusy = asked.state === "busy";
  const isLines = query !== "" && !isMetric(query);
  return (
    <section class="panel" aria-label={titled("Logs", place)}>
      <div class="panel-head">
        <h2 class="grow">{titled("Logs", place)}</h2>
        {isLines && (
          <button type="button" aria-pressed={isLive} onClick={() => setLive(!isLive)}>
            {isLive ? "End live tail" : "Live tail"}
          </button>
        )}
        {query !== "" && (
          <ViewSwitch
            views={isLines ? ["chart", "explain"] : VIEWS}
            names={isLines ? { chart: "Lines" } : {}}
            view={view}
            choose={(view) => change({ logview: view === "chart" ? undefined : view })}
          />
        )}
        <PanelTools {...place} />
      </div>
      <QueryBox
        language="logql"
        placeholder={'LogQL, for example: {job="systemd-journal"} |= "error"'}
        query={query}
        isBusy={isBusy}
        fault={asked.state === "failed" ? asked.message : ""}
        run={(text) => (text === query ? void run() : change({ logql: text }))}
        cancel={cancel}
      />
      {query !== "" && view === "explain" && (
        <Explain path="/loki/api/v1/explain" query={query} range={range} />
      )}
      {isLive && isLines && view !== "explain" && (
        <TailView query={query} actions={actionsOf(query, filter)} />
      )}
      {isBusy && !answer && <Busy what="Running" />}
      {asked.state === "failed" && (
        <div class="result" data-testid="logql-result">
          <p class="error mono small" role="alert">
            {asked.message}
          </p>
        </div>
      )}
      {!isIdle && answer && (
        <div class="result" data-testid="logql-result" aria-busy={isBusy}>
          {isBusy && <Busy what={progress(answer)} isOver />}
          {answer.answer.type === "metrics" ? (
            <SeriesView
              answer={answer.answer.answer}
              view={view}
              range={answer.grid}
              took_ms={asked.took_ms}
              zoom={zoom}
              empty="No line fits in this range."
            />
          ) : (
            <LogView
              query={answer.query}
              grid={answer.grid}
              loaded={answer.answer}
              took_ms={asked.took_ms}
              isBusy={isBusy}
              settings={{ order, limit, hasFields: params.get("fields") === "1" }}
              actions={actionsOf(answer.query, filter)}
              change={change}
              zoom={zoom}
            />
          )}
        </div>
      )}
    </section>
  );
}

async function ask(
  query: string,
  grid: Range,
  limit: number,
  order: Order,
  abort: AbortSignal,
  tell: (part: Loaded) => void,
): Promise<Answer> {
  if (isMetric(query)) {
    return asMetrics(await queryRange(query, grid, limit, abort, TIMEOUT_MS));
  }
  const span: [bigint, bigint] = [nanoseconds(grid.start), nanoseconds(grid.end)];
  const loaded = await loadLines(asker(query, abort, TIMEOUT_MS), span, limit, order, tell);
  return "type" in loaded ? loaded : { type: "lines", ...loaded };
}

function asMetrics(answer: LogAnswer): Answer {
  return answer.type === "metrics" ? answer : { ...answer, isAll: true };
}

const nanoseconds = (seconds: number) => BigInt(Math.round(seconds * 1000)) * 1_000_000n;

/** A part of an answer is told by its lines; a whole one is of the question before. */
function progress({ answer, isPart }: Shown): string {
  if (!isPart || answer.type !== "lines") return "Running";
  return `Loading lines, ${answer.lines.length.toLocaleString("en")} so far`;
}

export type FilterField = (
  field: { name: string; value: string; isLabel: boolean; parser?: string | undefined },
  isWanted: boolean,
) => void;

function actionsOf(query: string, filter: (query: string) => void): { filter: FilterField } {
  return {
    filter: ({ name, value, isLabel, parser }, isWanted) => {
      const op = isWanted ? "=" : "!=";
      const isMatcher = isLabel && selectorOf(query) !== undefined;
      filter(
        isMatcher ? withMatcher(query, name, op, value) : withFilter(query, name, op, value, parser),
      );
    },
  };
}

export function asFieldFilter(filter: FilterField) {
  return (field: Field, value: string, isWanted: boolean) => {
    const isLabel = field.type === "label";
    filter({ name: field.name, value, isLabel, parser: field.parsers[0] }, isWanted);
  };
}
