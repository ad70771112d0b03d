// LogQL: lines as lines, metrics over lines as a chart.
import { queryRange, type LogAnswer } from "../api/loki";
import { counted } from "../ui/format";
import { LineList } from "../ui/lines";
import { Chart } from "./chart";
import { QueryBox } from "./query-box";
import { gridOf, type TimeRange } from "./range";
import { useQuery, type Asked } from "./use-query";

const LINES_MAX = 500;

interface Props {
  query: string;
  range: TimeRange;
  change: (changes: Record<string, string | undefined>) => void;
}

export function LogPanel({ query, range, change }: Props) {
  const key = query && JSON.stringify([query, range]);
  const { asked, run, cancel } = useQuery(key, (abort) =>
    queryRange(query, gridOf(range, Date.now()), LINES_MAX, abort),
  );
  return (
    <section class="panel" aria-label="Logs">
      <div class="panel-head">
        <h2>Logs</h2>
      </div>
      <QueryBox
        language="logql"
        label="LogQL query"
        placeholder={'LogQL, for example: {job="systemd-journal"} |= "error"'}
        query={query}
        isBusy={asked.state === "busy"}
        run={(text) => (text === query ? void run() : change({ logql: text }))}
        cancel={cancel}
      />
      <Result asked={asked} />
    </section>
  );
}

function Result({ asked }: { asked: Asked<LogAnswer> }) {
  if (asked.state === "idle") return null;
  if (asked.state === "busy") return <p class="result message">Running…</p>;
  if (asked.state === "failed") {
    return (
      <div class="result" data-testid="logql-result">
        <p class="error mono small" role="alert">
          {asked.message}
        </p>
      </div>
    );
  }
  const took = `${Math.round(asked.took_ms)} ms`;
  return (
    <div class="result" data-testid="logql-result">
      {asked.answer.type === "metrics" ? (
        <Metrics answer={asked.answer.answer} took={took} />
      ) : (
        <Lines lines={asked.answer.lines} took={took} />
      )}
    </div>
  );
}

type Of<T extends LogAnswer["type"]> = Extract<LogAnswer, { type: T }>;

function Metrics({ answer, took }: { answer: Of<"metrics">["answer"]; took: string }) {
  return (
    <>
      {answer.series.length === 0 && <p class="message">No line fits in this range.</p>}
      {answer.series.length > 0 && <Chart series={answer.series} />}
      <p class="result-note">
        {answer.series.length} series in {took}
      </p>
    </>
  );
}

function Lines({ lines, took }: { lines: Of<"lines">["lines"]; took: string }) {
  const isCut = lines.length >= LINES_MAX;
  return (
    <>
      {lines.length === 0 && <p class="message">No line fits in this range.</p>}
      {lines.length > 0 && <LineList lines={lines} />}
      <p class="result-note">
        {isCut && "the newest "}
        {counted(lines.length, "line")} in {took}
      </p>
    </>
  );
}
