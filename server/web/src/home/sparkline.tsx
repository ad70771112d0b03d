// A small chart without axes: one or several lines over a fixed window of time.
import "./sparkline.css";
import type { Spark } from "./fleet";

interface Props {
  lines: Spark[];
  /** Start and end in seconds, so that all cards share one time axis. */
  window: [number, number];
  /** The top of the chart; else the highest value. */
  max?: number;
  label: string;
  /** A longer pause between two points is a gap, not a straight line. */
  gap_s?: number;
  /** Spans of time, in seconds, in which something was wrong. */
  marks?: [number, number][];
}

const WIDTH = 200;
const HEIGHT = 32;
const GAP_S = 90;

export function Sparkline({ lines, window: [start, end], max, label, gap_s = GAP_S, marks = [] }: Props) {
  const top = max ?? Math.max(1, ...lines.flatMap((line) => line.values.filter(Number.isFinite)));
  const x = (time: number) => ((time - start) / (end - start)) * WIDTH;
  const y = (value: number) => HEIGHT - 2 - (Math.min(value, top) / top) * (HEIGHT - 4);
  return (
    <svg
      class="sparkline"
      viewBox={`0 0 ${WIDTH} ${HEIGHT}`}
      preserveAspectRatio="none"
      role="img"
      aria-label={label}
    >
      <title>{label}</title>
      <line class="base" x1="0" x2={WIDTH} y1={HEIGHT - 0.5} y2={HEIGHT - 0.5} />
      {marks.map(([from, to]) => (
        <rect class="mark" key={from} x={x(from)} width={x(to) - x(from)} y="0" height={HEIGHT} />
      ))}
      {lines.length === 1 && <path class="area" d={area(lines[0], x, y, gap_s)} />}
      {lines.map((line, i) => (
        <path key={i} class={`line-${i + 1}`} d={path(line, x, y, gap_s)} />
      ))}
    </svg>
  );
}

type Scale = (value: number) => number;

/** The line, closed along the ground; only where it has no gap. */
function area(line: Spark | undefined, x: Scale, y: Scale, gap_s: number): string {
  const edge = line ? path(line, x, y, gap_s) : "";
  if (!line || edge === "" || edge.lastIndexOf("M") > 0) return "";
  const [from = 0, to = 0] = [line.times[0], line.times.at(-1)];
  return `${edge}L${x(to).toFixed(1)} ${HEIGHT}L${x(from).toFixed(1)} ${HEIGHT}Z`;
}

function path(line: Spark, x: Scale, y: Scale, gap_s: number): string {
  let previous = -Infinity;
  const steps = line.times.map((time, i) => {
    const value = line.values[i] ?? NaN;
    if (!Number.isFinite(value)) return "";
    const command = time - previous > gap_s ? "M" : "L";
    previous = time;
    return `${command}${x(time).toFixed(1)} ${y(value).toFixed(1)}`;
  });
  return steps.join("");
}
