// Series over time, and a legend that can hide them one by one.
import { useEffect, useMemo, useState } from "preact/hooks";
import { last, type Range, type Series } from "../api/prometheus";
import { seriesName, telling, value } from "../ui/format";
import { colourOf, Plot, type PlotProps } from "./plot";

/** Beyond this nobody can tell the lines apart. */
const SERIES_MAX = 40;

interface ChartProps {
  series: Series[];
  /** What was asked for: the width of the chart, also where there is no data. */
  range: Range;
  isStacked?: boolean;
  onSelect?: PlotProps["onSelect"];
}

export function Chart({ series, range, isStacked = false, onSelect }: ChartProps) {
  const shown = useMemo(
    () => [...series].sort((a, b) => last(b) - last(a) || 0).slice(0, SERIES_MAX),
    [series],
  );
  const names = useMemo(() => telling(shown.map((one) => one.labels)).map(seriesName), [shown]);
  const [hidden, setHidden] = useState<ReadonlySet<number>>(new Set());
  useEffect(() => setHidden(new Set()), [shown]);
  const toggle = (i: number) => {
    const next = new Set(hidden);
    if (!next.delete(i)) next.add(i);
    setHidden(next);
  };
  /** Only this one; all of them again if it was the only one. */
  const only = (i: number) => {
    const isOnly = hidden.size === shown.length - 1 && !hidden.has(i);
    setHidden(new Set(isOnly ? [] : [...shown.keys()].filter((it) => it !== i)));
  };
  const label = `Chart of ${shown.length} series; their newest values are in the list below`;
  return (
    <div class="chart">
      <Plot
        series={shown}
        range={range}
        names={names}
        hidden={hidden}
        label={label}
        isStacked={isStacked}
        {...(onSelect ? { onSelect } : {})}
      />
      <ul class="legend small">
        {shown.map((one, i) => (
          <li key={i}>
            <button
              type="button"
              aria-pressed={!hidden.has(i)}
              title="Click hides it, Ctrl+click hides the others"
              onClick={(event) => (event.ctrlKey || event.metaKey ? only(i) : toggle(i))}
            >
              <span class="swatch" style={{ background: `var(${colourOf(i)})` }} />
              <span class="mono ellipsis" title={seriesName(one.labels)}>
                {names[i]}
              </span>
              <span class="num">{value(last(one))}</span>
            </button>
          </li>
        ))}
      </ul>
      {series.length > shown.length && (
        <p class="result-note">
          Only the {shown.length} series with the highest newest value are drawn; topk() chooses
          others, the table shows all.
        </p>
      )}
    </div>
  );
}
