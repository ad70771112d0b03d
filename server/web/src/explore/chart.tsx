// Series over time with uPlot, and a legend that can hide them one by one.
import { useEffect, useLayoutEffect, useMemo, useRef, useState } from "preact/hooks";
import uPlot from "uplot";
import "./chart.css";
import { last, type Range, type Series } from "../api/prometheus";
import { fullTime, seriesName, telling, value } from "../ui/format";

/** Beyond this nobody can tell the lines apart. */
const SERIES_MAX = 40;
const N_COLOURS = 8;
const HEIGHT_PX = 300;
/** Half of the widest time below the chart, `00:00:00`: the last one ends at the right edge. */
const RIGHT_PX = 30;
/** A time and a gap, so that no two run into each other: without and with seconds. */
const TICK_PX = 46;
const FINE_TICK_PX = 66;

interface ChartProps {
  series: Series[];
  /** What was asked for: the width of the chart, also where there is no data. */
  range: Range;
}

export function Chart({ series, range }: ChartProps) {
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
  return (
    <div class="chart">
      <Plot series={shown} range={range} names={names} hidden={hidden} />
      <ul class="legend small">
        {shown.map((one, i) => (
          <li key={i}>
            <button type="button" aria-pressed={!hidden.has(i)} onClick={() => toggle(i)}>
              <span class="swatch" style={{ background: `var(${colour(i)})` }} />
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

interface PlotProps {
  series: Series[];
  range: Range;
  names: string[];
  hidden: ReadonlySet<number>;
}

function Plot({ series, range, names, hidden }: PlotProps) {
  const box = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot>();
  const [themed, setThemed] = useState(0);
  useEffect(() => {
    // A canvas takes colours once; when the theme changes it is drawn anew.
    const redraw = () => setThemed((n) => n + 1);
    const system = matchMedia("(prefers-color-scheme: dark)");
    system.addEventListener("change", redraw);
    addEventListener("skep-theme", redraw);
    return () => {
      system.removeEventListener("change", redraw);
      removeEventListener("skep-theme", redraw);
    };
  }, []);
  // Before the browser paints: a frame in the colours of the other theme would be seen.
  useLayoutEffect(() => {
    const element = box.current;
    if (!element) return;
    const width = () => element.clientWidth;
    const drawn = new uPlot(options(series, names, width()), joined(series, range), element);
    plot.current = drawn;
    const observer = new ResizeObserver(() => drawn.setSize({ width: width(), height: HEIGHT_PX }));
    observer.observe(element);
    return () => {
      observer.disconnect();
      drawn.destroy();
    };
  }, [series, range, names, themed]);
  useLayoutEffect(() => {
    series.forEach((_, i) => plot.current?.setSeries(i + 1, { show: !hidden.has(i) }));
  }, [series, range, hidden, themed]);
  const label = `Chart of ${series.length} series; their newest values are in the list below`;
  return <div class="plot" ref={box} role="img" aria-label={label} />;
}

const colour = (i: number) => `--chart-${(i % N_COLOURS) + 1}`;

function options(series: Series[], names: string[], width: number): uPlot.Options {
  const style = getComputedStyle(document.documentElement);
  const token = (name: string) => style.getPropertyValue(name).trim();
  const axis: uPlot.Axis = {
    stroke: token("--muted"),
    grid: { stroke: token("--line"), width: 1 },
    ticks: { stroke: token("--line"), width: 1 },
    font: `12px ${token("--font")}`,
  };
  return {
    width,
    height: HEIGHT_PX,
    padding: [null, RIGHT_PX, null, null],
    legend: { show: false },
    cursor: { drag: { x: true, y: false }, focus: { prox: 24 } },
    focus: { alpha: 0.3 },
    axes: [
      { ...axis, space: tickSpace, values: timeTicks },
      { ...axis, size: 64, values: (_, ticks) => ticks.map(value) },
    ],
    series: [
      {},
      ...series.map((one, i) => ({
        label: names[i] ?? "",
        stroke: token(colour(i)),
        width: 1.5,
        points: { show: one.times.length < 3 },
      })),
    ],
    plugins: [tooltip(names)],
  };
}

const pad = (n: number) => String(n).padStart(2, "0");

/** Seconds are shown where the ticks would be less than a minute apart. */
function tickSpace(_: uPlot, __: number, from: number, to: number, width: number): number {
  return ((to - from) / width) * TICK_PX < 60 ? FINE_TICK_PX : TICK_PX;
}

/** Hours of 24, whatever the browser's language; the day where it changes. */
function timeTicks(_: uPlot, ticks: number[], __: number, ___: number, step: number): string[] {
  let day = "";
  return ticks.map((tick) => {
    const at = new Date(tick * 1000);
    const date = `${pad(at.getMonth() + 1)}-${pad(at.getDate())}`;
    const isNewDay = date !== day;
    day = date;
    if (step >= 86400) return date;
    const time = `${pad(at.getHours())}:${pad(at.getMinutes())}`;
    const fine = step < 60 ? `${time}:${pad(at.getSeconds())}` : time;
    return isNewDay ? `${fine}\n${date}` : fine;
  });
}

/** All series on the union of their times and both ends of the range; what a series lacks is a gap. */
function joined(series: Series[], { start, end }: Range): uPlot.AlignedData {
  const all = new Set([start, end, ...series.flatMap((one) => one.times)]);
  const times = [...all].sort((a, b) => a - b);
  const index = new Map(times.map((time, i) => [time, i]));
  const columns = series.map((one) => {
    const column: (number | null)[] = new Array(times.length).fill(null);
    one.times.forEach((time, i) => {
      const at = index.get(time);
      const value = one.values[i] ?? NaN;
      if (at !== undefined && Number.isFinite(value)) column[at] = value;
    });
    return column;
  });
  return [times, ...columns];
}

/** Time and value of the series under the pointer. */
function tooltip(names: string[]): uPlot.Plugin {
  const element = document.createElement("div");
  element.className = "tooltip small";
  let focused: number | undefined;
  return {
    hooks: {
      init: (plot) => {
        plot.over.append(element);
      },
      setSeries: (_, i) => {
        focused = i === null || i === 0 ? undefined : i;
      },
      setCursor: (plot) => {
        const { idx, left = 0, top = 0 } = plot.cursor;
        const i = focused ?? (names.length === 1 ? 1 : undefined);
        const y = i === undefined || idx == null ? undefined : plot.data[i]?.[idx];
        element.hidden = idx == null || left < 0;
        if (element.hidden || idx == null) return;
        const time = fullTime((plot.data[0][idx] ?? NaN) * 1000).slice(0, -4);
        const name = i === undefined ? undefined : names[i - 1];
        const found = name !== undefined && y != null;
        element.textContent = found ? `${time}\n${name}\n${value(y)}` : time;
        const isRight = left > plot.over.clientWidth / 2;
        element.style.left = isRight ? "" : `${left + 12}px`;
        element.style.right = isRight ? `${plot.over.clientWidth - left + 12}px` : "";
        element.style.top = `${Math.min(top + 12, plot.over.clientHeight - 60)}px`;
      },
    },
  };
}
