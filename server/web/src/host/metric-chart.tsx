// One chart of a host: asks for its lines, draws them, and takes spans that are marked on it.
import { useMemo, useState } from "preact/hooks";
import "./metric-chart.css";
import { usePoll } from "../api/poll";
import { last, range as queryRange, type Range } from "../api/prometheus";
import { Plot } from "../chart/plot";
import type { Span } from "../chart/selection";
import { gridOf, type TimeRange } from "../ui/range";
import { Trouble } from "../ui/trouble";
import { linesOf, questionOf } from "./chart-lines";
import type { ChartSpec } from "./charts";
import { outline, peakOf, riser } from "./peak";
import type { ResourceId } from "./resources";
import { windowOf } from "./scope";

const HEIGHT_PX = 190;
/** New samples come no faster. */
const REFRESH_S_MIN = 15;
const NEVER_S = 86_400;

interface Props {
  spec: ChartSpec;
  host: string;
  unit?: string;
  range: TimeRange;
  marked: Span | undefined;
  /** What to do with a span on it: `Find cause`. */
  action: string;
  take: (span: Span, resource: ResourceId | undefined) => void;
}

export function MetricChart({ spec, host, unit, range, marked, action, take }: Props) {
  const key = JSON.stringify([spec.id, host, unit, range]);
  const { step } = gridOf(range, 0);
  const refresh_s = range.kind === "fixed" ? NEVER_S : Math.max(REFRESH_S_MIN, step);
  const { data, error } = usePoll(key, refresh_s * 1000, async (abort) => {
    const grid = gridOf(range, Date.now());
    const scope = { host, grid, ...(unit === undefined ? {} : { unit }) };
    const { series } = await queryRange(questionOf(spec, scope), grid, abort);
    return { key, grid, lines: linesOf(spec, series) };
  });
  const [hidden, setHidden] = useState<ReadonlySet<number>>(new Set());
  const lines = data?.lines ?? [];
  const series = useMemo(() => lines.map((it) => it.series), [data]);
  const names = useMemo(() => lines.map((it) => it.name), [data]);
  const colours = useMemo(() => lines.map((it) => it.colour), [data]);
  if (!data && !error) return <section class="panel metric-chart waiting" aria-label={spec.title} />;
  // What this host does not tell is left out.
  if (data && lines.length === 0 && !error) return null;
  const isStacked = spec.isStacked ?? false;
  const chosen = (span: Span) => {
    const i = riser(series, span);
    take(span, (i === undefined ? undefined : lines[i]?.query.resource) ?? spec.resource);
  };
  const peak = () => {
    const grid = data?.grid ?? gridOf(range, Date.now());
    const shown = series.filter((_, i) => !hidden.has(i) && lines[i]?.name !== "free");
    chosen(peakOf(outline(shown, isStacked), windowOf(grid)) ?? lastPart(grid));
  };
  const toggle = (i: number) => {
    const next = new Set(hidden);
    if (!next.delete(i)) next.add(i);
    setHidden(next);
  };
  return (
    <section class="panel metric-chart" aria-label={spec.title} data-testid={`chart-${spec.id}`}>
      <header>
        <h2 class="ellipsis">{spec.title}</h2>
        <button
          type="button"
          class="small"
          title="Takes the highest peak; drag on the chart to mark another span"
          onClick={peak}
        >
          {action}
        </button>
      </header>
      <Trouble error={error} />
      {data && (
        <div class={data.key === key ? "chart" : "chart stale"}>
          <Plot
            series={series}
            range={data.grid}
            names={names}
            colours={colours}
            hidden={hidden}
            height={HEIGHT_PX}
            isStacked={isStacked}
            format={spec.format}
            cursor="host"
            onSelect={chosen}
            marked={marked}
            top={0}
            label={`${spec.title}. Arrow keys move, with Shift they mark a span, Enter asks about it.`}
          />
          <ul class="lines-shown small">
            {lines.map((line, i) => (
              <li key={i}>
                <button type="button" aria-pressed={!hidden.has(i)} onClick={() => toggle(i)}>
                  <span class="swatch" style={{ background: `var(${line.colour})` }} />
                  <span class="ellipsis" title={line.name}>
                    {line.name}
                  </span>
                  <span class="num">{spec.format(last(line.series))}</span>
                </button>
              </li>
            ))}
          </ul>
        </div>
      )}
    </section>
  );
}

/** Where nothing stands out: the newest tenth. */
function lastPart({ start, end }: Range): Span {
  return { from: end - (end - start) / 10, to: end };
}
