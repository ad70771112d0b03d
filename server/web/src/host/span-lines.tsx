// Log lines of a unit, or of the kernel, in a span of time, below their volume by level.
import "./span-lines.css";
import { usePoll } from "../api/poll";
import type { Span } from "../chart/selection";
import { Link } from "../route";
import { counted } from "../ui/format";
import { LineList } from "../ui/lines";
import { Trouble } from "../ui/trouble";
import { LINES_MAX, linesOf, linesQueries, volumeOf } from "./cause-data";
import { barsOf, ORDER, totals, type Bar } from "./volume";

const NEVER_MS = 86_400_000;

interface Props {
  host: string;
  /** The kernel's own lines without one. */
  unit: string | undefined;
  span: Span;
  refreshMs?: number;
}

export function SpanLines({ host, unit, span, refreshMs = NEVER_MS }: Props) {
  const key = JSON.stringify([host, unit, span]);
  const { data, error } = usePoll(key, refreshMs, async (abort) => {
    const [lines, volume] = await Promise.all([
      linesOf(host, unit, span, abort),
      volumeOf(host, unit, span, abort),
    ]);
    return { key, lines, bars: barsOf(volume) };
  });
  // Lines of another unit must not stand under this one's name.
  const current = data?.key === key || refreshMs !== NEVER_MS ? data : undefined;
  const total = current?.bars.reduce((sum, bar) => sum + bar.total, 0) ?? 0;
  const name = unit ?? "the kernel";
  const explore = new URLSearchParams({
    logql: linesQueries(host, unit)[0] ?? "",
    from: String(span.from * 1000),
    to: String(span.to * 1000),
  });
  return (
    <div class="span-lines" data-testid="span-lines">
      <Trouble error={error} />
      {!current && !error && <p class="message">Asking for the lines of {name}…</p>}
      {current && current.lines.length === 0 && (
        <p class="message">{name} wrote no line in this time.</p>
      )}
      {current && current.lines.length > 0 && (
        <>
          <Volume bars={current.bars} span={span} />
          <p class="note muted small">
            {current.lines.length >= LINES_MAX
              ? `The newest ${LINES_MAX} of ${counted(Math.max(total, LINES_MAX), "line")}. `
              : `${counted(current.lines.length, "line")}. `}
            <Link href={`/explore?${explore}`}>Open in Explore</Link>
          </p>
          <LineList lines={current.lines} />
        </>
      )}
    </div>
  );
}

const WIDTH = 400;
const HEIGHT = 44;

function Volume({ bars, span: { from, to } }: { bars: Bar[]; span: Span }) {
  if (bars.length === 0) return null;
  const top = Math.max(...bars.map((bar) => bar.total));
  const step = Math.max(1, Math.ceil((to - from) / 40));
  const width = (WIDTH * step) / (to - from);
  const told = totals(bars).map(([level, n]) => `${n} ${level === "unknown" ? "without level" : level}`);
  return (
    <figure class="volume">
      <svg
        viewBox={`0 0 ${WIDTH} ${HEIGHT}`}
        preserveAspectRatio="none"
        role="img"
        aria-label={`Lines by level: ${told.join(", ")}`}
      >
        {bars.map((bar) => {
          let ground = HEIGHT;
          const x = ((bar.time - step - from) / (to - from)) * WIDTH;
          return ORDER.map((level) => {
            const height = ((bar.counts[level] ?? 0) / top) * HEIGHT;
            ground -= height;
            return height > 0 ? (
              <rect key={`${bar.time} ${level}`} class={`of-${level}`} x={x} y={ground} width={width * 0.85} height={height} />
            ) : null;
          });
        })}
      </svg>
      <figcaption class="small">
        {totals(bars).map(([level, n]) => (
          <span key={level} class={`of-${level}`}>
            {level === "unknown" ? "no level" : level} {n}
          </span>
        ))}
      </figcaption>
    </figure>
  );
}
