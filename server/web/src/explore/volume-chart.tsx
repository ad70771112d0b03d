// The volume of lines as a histogram by level; marking a span of it zooms in.
import "./volume-chart.css";
import type { Level } from "../api/loki";
import type { Range } from "../api/prometheus";
import { Plot } from "../chart/plot";
import { value } from "../ui/format";
import { volumeOf } from "./volume";
import { useQuery } from "./use-query";

interface Props {
  query: string;
  grid: Range;
  zoom: (from_ms: number, to_ms: number) => void;
}

const COLOURS: Record<Level, string> = {
  emerg: "--bad",
  alert: "--bad",
  crit: "--bad",
  error: "--bad",
  warning: "--warn",
  notice: "--chart-6",
  info: "--good",
  debug: "--chart-2",
  unknown: "--muted",
};
const HEIGHT_PX = 150;

export function VolumeChart({ query, grid, zoom }: Props) {
  const key = JSON.stringify([query, grid]);
  const { asked } = useQuery(key, (abort) => volumeOf(query, grid, abort));
  // The lines say what went wrong, if anything did.
  if (asked.state === "failed") return null;
  const { answer } = asked;
  if (!answer) return <div class="volume waiting" />;
  const { levels, series, range, counts } = answer;
  if (series.length === 0) return null;
  const total = counts.reduce((sum, it) => sum + it, 0);
  const keys = "Arrow keys move, with Shift they mark a span, Enter zooms to it";
  const label = `Lines over time by level, ${value(total)} in all. ${keys}`;
  return (
    <div class="volume chart" data-testid="log-volume">
      <Plot
        series={series}
        range={range}
        names={levels}
        colours={levels.map((level) => COLOURS[level])}
        label={label}
        height={HEIGHT_PX}
        isStacked
        isStepped
        cursor="volume"
        onSelect={({ from, to }) => zoom(from * 1000, to * 1000)}
      />
      <ul class="small" aria-label="Lines by level">
        {levels.map((level, i) => (
          <li key={level}>
            <span class="swatch" style={{ background: `var(${COLOURS[level]})` }} />
            {level} <b class="num">{value(counts[i] ?? 0)}</b>
          </li>
        ))}
      </ul>
    </div>
  );
}
