// LogQL: lines as lines, metrics over lines as a chart.
import { queryRange, type LogAnswer } from "../api/loki";
import type { Range } from "../api/prometheus";
import { counted } from "../ui/format";
import { LineList } from "../ui/lines";
import { Chart } from "../chart/chart";
import { QueryBox } from "./query-box";
import { gridOf, type TimeRange } from "../ui/range";
import { useQuery, type Asked } from "./use-query";

const LINES_MAX = 500;

interface Props {
  query: string;
  range: TimeRange;
  change: (changes: Record<string, string | undefined>) => void;
}

export function LogPanel({ query, range, change }: Props) {
  const key = query && JSON.stringify([query, range]);
  const { asked, run, cancel } = useQuery(key, async (abort) => {
    const grid = gridOf(range, Date.now());
    return { answer: await queryRange(query, grid, LINES_MAX, abort), grid };
  });
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

function Result({ asked }: { asked: Asked<{ answer: LogAnswer; grid: Range }> }) {
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
  const { answer, grid } = asked.answer;
  const took = `${Math.round(asked.took_ms)} ms`;
  return (
    <div class="result" data-testid="logql-result">
      {answer.type === "metrics" ? (
        <Metrics answer={answer.answer} range={grid} took={took} />
      ) : (
        <Lines lines={answer.lines} took={took} />
      )}
    </div>
  );
}

type Of<T extends LogAnswer["type"]> = Extract<LogAnswer, { type: T }>;

interface MetricsProps {
  answer: Of<"metrics">["answer"];
  range: Range;
  took: string;
}

function Metrics({ answer, range, took }: MetricsProps) {
  return (
    <>
      {answer.series.length === 0 && <p class="message">No line fits in this range.</p>}
      {answer.series.length > 0 && <Chart series={answer.series} range={range} />}
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
