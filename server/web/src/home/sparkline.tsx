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
}

const WIDTH = 200;
const HEIGHT = 32;
/** A longer pause between two points is a gap, not a straight line. */
const GAP_S = 90;

export function Sparkline({ lines, window: [start, end], max, label }: Props) {
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
      {lines.map((line, i) => (
        <path key={i} class={`line-${i + 1}`} d={path(line, x, y)} />
      ))}
    </svg>
  );
}

function path(line: Spark, x: (time: number) => number, y: (value: number) => number): string {
  let previous = -Infinity;
  const steps = line.times.map((time, i) => {
    const value = line.values[i] ?? NaN;
    if (!Number.isFinite(value)) return "";
    const command = time - previous > GAP_S ? "M" : "L";
    previous = time;
    return `${command}${x(time).toFixed(1)} ${y(value).toFixed(1)}`;
  });
  return steps.join("");
}
