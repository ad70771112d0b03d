// uPlot as a component: series over time, drawn anew only when their shape or the theme changes.
import { useEffect, useLayoutEffect, useMemo, useRef, useState } from "preact/hooks";
import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";
import "./chart.css";
import type { Range, Series } from "../api/prometheus";
import { value } from "../ui/format";
import { RIGHT_PX, tickSpace, timeTicks } from "./axes";
import { columnsOf, type Columns } from "./columns";
import { brushing, marking, type Span } from "./selection";
import { tooltip } from "./tooltip";

const N_COLOURS = 8;
const HEIGHT_PX = 300;
/** Wide enough for `100 MB/s`. */
const Y_AXIS_PX = 64;

export const colourOf = (i: number) => `--chart-${(i % N_COLOURS) + 1}`;

export interface PlotProps {
  series: Series[];
  /** What was asked for: the width of the chart, also where there is no data. */
  range: Range;
  names: string[];
  label: string;
  hidden?: ReadonlySet<number>;
  /** Names of tokens, one a series; else the chart colours in turn. */
  colours?: string[];
  height?: number;
  isStacked?: boolean;
  /** Each value holds for the step before it, as counts do. */
  isStepped?: boolean;
  format?: (number: number) => string;
  /** The least top of the value axis. */
  top?: number;
  /** Charts that name the same share their cursor; their tooltips list every series. */
  cursor?: string;
  /** Takes what was marked with the mouse or the keys; without it, marking zooms in. */
  onSelect?: (span: Span) => void;
  marked?: Span | undefined;
}

const NONE: ReadonlySet<number> = new Set();

export function Plot(props: PlotProps) {
  const { series, range, names, label, hidden = NONE, isStacked = false, marked } = props;
  const box = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot>();
  const themed = useThemed();
  const columns = useMemo(
    () => columnsOf(series, range, isStacked, hidden),
    // Lines that are hidden keep their data; layers of a stack do not.
    [series, range, isStacked, isStacked ? hidden : NONE],
  );
  const latest = useRef({ props, columns });
  latest.current = { props, columns };
  // A time axis and values of the same names: new data goes into the plot that is there.
  const shape = JSON.stringify([names, props.colours, isStacked, series.map((it) => it.times.length < 3)]);
  // Before the browser paints: a frame in the colours of the other theme would be seen.
  useLayoutEffect(() => {
    const element = box.current;
    if (!element) return;
    const { height = HEIGHT_PX } = props;
    const width = () => element.clientWidth;
    const drawn = new uPlot(options(() => latest.current, width()), dataOf(columns), element);
    plot.current = drawn;
    const observer = new ResizeObserver(() => drawn.setSize({ width: width(), height }));
    observer.observe(element);
    return () => {
      observer.disconnect();
      drawn.destroy();
      plot.current = undefined;
    };
  }, [shape, themed]);
  useLayoutEffect(() => {
    const drawn = plot.current;
    const data = dataOf(columns);
    if (drawn && drawn.data[0] !== data[0]) drawn.setData(data);
  }, [columns]);
  useLayoutEffect(() => {
    series.forEach((_, i) => plot.current?.setSeries(i + 1, { show: !hidden.has(i) }));
  }, [hidden, shape, themed]);
  useLayoutEffect(() => plot.current?.redraw(false), [marked?.from, marked?.to]);
  if (!props.onSelect) return <div class="plot" ref={box} role="img" aria-label={label} />;
  return <div class="plot" ref={box} tabIndex={0} role="application" aria-label={label} />;
}

/** Changes with the theme: a canvas takes colours once and is then drawn anew. */
function useThemed(): number {
  const [themed, setThemed] = useState(0);
  useEffect(() => {
    const redraw = () => setThemed((n) => n + 1);
    const system = matchMedia("(prefers-color-scheme: dark)");
    system.addEventListener("change", redraw);
    addEventListener("skep-theme", redraw);
    return () => {
      system.removeEventListener("change", redraw);
      removeEventListener("skep-theme", redraw);
    };
  }, []);
  return themed;
}

function dataOf({ times, drawn }: Columns): uPlot.AlignedData {
  return [times, ...drawn];
}

type Latest = () => { props: PlotProps; columns: Columns };

function options(latest: Latest, width: number): uPlot.Options {
  const { props } = latest();
  const { series, names, isStacked, cursor, top } = props;
  const { height = HEIGHT_PX, format = value } = props;
  const style = getComputedStyle(document.documentElement);
  const token = (name: string) => style.getPropertyValue(name).trim();
  const axis: uPlot.Axis = {
    stroke: token("--muted"),
    grid: { stroke: token("--line"), width: 1 },
    ticks: { stroke: token("--line"), width: 1 },
    font: `12px ${token("--font")}`,
  };
  const stepped = props.isStepped ? uPlot.paths.stepped?.({ align: -1 }) : undefined;
  const stroke = (i: number) => token(props.colours?.[i] ?? colourOf(i));
  const plugins = [tooltip((at, focused) => told(latest(), at, focused))];
  if (props.onSelect) plugins.push(brushing((span) => latest().props.onSelect?.(span)));
  plugins.push(marking(() => latest().props.marked, token("--accent-soft"), token("--accent")));
  return {
    width,
    height,
    padding: [null, RIGHT_PX, null, null],
    legend: { show: false },
    cursor: {
      drag: { x: true, y: false, setScale: !props.onSelect },
      ...(cursor === undefined ? { focus: { prox: 24 } } : { sync: shared(cursor), y: false }),
    },
    focus: { alpha: 0.3 },
    ...(top === undefined && !isStacked
      ? {}
      : { scales: { y: { range: (_, low, high) => fromZero(low, high, top) } } }),
    axes: [
      { ...axis, space: tickSpace, values: timeTicks },
      { ...axis, size: Y_AXIS_PX, values: (_, ticks) => ticks.map(format) },
    ],
    series: [
      {},
      ...series.map((one, i) => ({
        label: names[i] ?? "",
        stroke: stroke(i),
        width: 1.5,
        points: { show: one.times.length < 3 },
        ...(isStacked ? { fill: translucent(stroke(i)) } : {}),
        ...(stepped ? { paths: stepped } : {}),
      })),
    ],
    bands: isStacked ? series.slice(1).map((_, i) => ({ series: [i + 2, i + 1] as [number, number] })) : [],
    plugins,
  };
}

/** The cursor's way is shared, marking is not: each chart takes its own. */
function shared(key: string): uPlot.Cursor.Sync {
  const isOfCursor = (type: string) => type !== "mousedown" && type !== "mouseup";
  return { key, setSeries: false, filters: { pub: isOfCursor, sub: isOfCursor } };
}

/** The height of a layer tells only if the ground is zero. */
function fromZero(low: number | null, high: number | null, top = 0): [number, number] {
  return [Math.min(0, low ?? 0), Math.max(top, (high ?? 0) * 1.05) || 1];
}

function translucent(colour: string): string {
  return /^#[0-9a-f]{6}$/i.test(colour) ? `${colour}66` : colour;
}

function told({ props, columns }: ReturnType<Latest>, at: number, focused: number | undefined) {
  const { names, cursor, hidden = NONE, format = value } = props;
  const one = focused ?? (names.length === 1 ? 0 : undefined);
  const wanted = cursor === undefined ? (one === undefined ? [] : [one]) : names.map((_, i) => i);
  return wanted.flatMap((i) => {
    const number = columns.plain[i]?.[at];
    return number == null || hidden.has(i) ? [] : [{ name: names[i] ?? "", value: format(number) }];
  });
}
