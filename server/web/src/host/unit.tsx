// A unit by itself: its own charts, and its lines of the range or of a span marked on a chart.
import type { Span } from "../chart/selection";
import { go, useRoute } from "../route";
import { timeOfDay } from "../ui/format";
import { gridOf, type TimeRange } from "../ui/range";
import { changed, spanOf } from "./address";
import { UNIT_CHARTS } from "./charts";
import { ChartsView } from "./charts-view";
import { SpanLines } from "./span-lines";

const REFRESH_MS = 15_000;

interface Props {
  host: string;
  unit: string;
  range: TimeRange;
}

export function UnitView({ host, unit, range }: Props) {
  const { path, query } = useRoute();
  const marked = spanOf(query);
  const change = (changes: Record<string, string | undefined>) =>
    go(`${path}?${changed(new URLSearchParams(location.search), changes)}`);
  const take = ({ from, to }: Span) => {
    change({ a: String(Math.round(from)), b: String(Math.round(to)) });
  };
  const { start, end } = gridOf(range, Date.now());
  const isLive = !marked && range.kind === "last";
  const now = Date.now();
  return (
    <>
      <ChartsView specs={UNIT_CHARTS} of={{ host, unit }} range={range} marked={marked} action="Show lines" take={take} />
      <section class="panel" aria-label="Lines">
        <div class="panel-head">
          <h2>Lines</h2>
          <span class="muted small num grow">
            {marked && `${timeOfDay(marked.from * 1000, now)} to ${timeOfDay(marked.to * 1000, now)}`}
          </span>
          {marked && (
            <button type="button" onClick={() => change({ a: undefined, b: undefined })}>
              Show all of the range
            </button>
          )}
        </div>
        <SpanLines
          host={host}
          unit={unit}
          span={marked ?? { from: start, to: end }}
          {...(isLive ? { refreshMs: REFRESH_MS } : {})}
        />
      </section>
    </>
  );
}
