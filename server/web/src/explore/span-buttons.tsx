// Goes earlier, later, and out of a span of time.
import type { TimeRange } from "../ui/range";

type Way = "back" | "on" | "out";
type Change = (changes: Record<string, string | undefined>) => void;

/** What the address says of the range that lies half of it away, or is twice as wide. */
export function moved(range: TimeRange, way: Way, now: number): Record<string, string | undefined> {
  const isLast = range.kind === "last";
  const to = isLast ? now : range.to;
  const from = isLast ? now - range.seconds * 1000 : range.from;
  const half = (to - from) / 2;
  const by = { back: [-half, -half], on: [half, half], out: [-half, half] }[way] as [number, number];
  // The future has nothing to show.
  const late = Math.max(0, to + by[1] - now);
  const [start, end] = [from + by[0] - (way === "on" ? late : 0), to + by[1] - late];
  return { range: undefined, from: String(Math.round(start)), to: String(Math.round(end)) };
}

export function SpanButtons({ range, change }: { range: TimeRange; change: Change }) {
  const button = (way: Way, label: string, sign: string) => (
    <button
      type="button"
      aria-label={label}
      title={label}
      onClick={() => change(moved(range, way, Date.now()))}
    >
      {sign}
    </button>
  );
  return (
    <div class="segmented" role="group" aria-label="Move the range">
      {button("back", "Earlier", "‹")}
      {button("out", "Zoom out", "−")}
      {button("on", "Later", "›")}
    </div>
  );
}
