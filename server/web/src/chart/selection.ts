// Marking a span of time on a chart: with the mouse, a finger, the keys, and how it is shown.
import type uPlot from "uplot";

/** Seconds. */
export interface Span {
  from: number;
  to: number;
}

/** Less is a click, not a span. */
const DRAG_PX_MIN = 4;
/** Points that an arrow key goes with Ctrl. */
const STRIDE = 10;

/** Dragging marks; arrow keys move the cursor, with Shift they mark, and Enter takes it. */
export function brushing(onSelect: (span: Span) => void): uPlot.Plugin {
  let anchor: number | undefined;
  // The box outlives the plot inside of it: its listener goes with the plot.
  const end = new AbortController();
  const clear = (plot: uPlot) => {
    anchor = undefined;
    plot.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
  };
  const take = (plot: uPlot) => {
    const { left, width } = plot.select;
    clear(plot);
    if (width < DRAG_PX_MIN) return;
    onSelect({ from: plot.posToVal(left, "x"), to: plot.posToVal(left + width, "x") });
  };
  const onKeyDown = (plot: uPlot, event: KeyboardEvent) => {
    if (event.key === "Enter") take(plot);
    else if (event.key === "Escape" && plot.select.width > 0) clear(plot);
    else if (event.key === "ArrowLeft") anchor = move(plot, -1, event, anchor);
    else if (event.key === "ArrowRight") anchor = move(plot, 1, event, anchor);
    else return;
    event.preventDefault();
    event.stopPropagation();
  };
  return {
    hooks: {
      ready: (plot) => {
        const { signal } = end;
        plot.root.parentElement?.addEventListener("keydown", (event) => onKeyDown(plot, event), {
          signal,
        });
        markByFinger(plot, signal, () => take(plot));
      },
      setSelect: take,
      destroy: () => end.abort(),
    },
  };
}

/** A finger that goes sideways marks; one that goes up or down scrolls the page, and the browser
 * ends the touch (chart.css). The mouse is uPlot's own. */
function markByFinger(plot: uPlot, signal: AbortSignal, take: () => void) {
  const { over } = plot;
  let start: number | undefined;
  const at = (event: PointerEvent) => {
    const { left, width } = over.getBoundingClientRect();
    return Math.max(0, Math.min(width, event.clientX - left));
  };
  const show = (left: number, width: number) =>
    plot.setSelect({ left, top: 0, width, height: over.clientHeight }, false);
  const on = (type: "pointerdown" | "pointermove" | "pointerup" | "pointercancel", act: (event: PointerEvent) => void) =>
    over.addEventListener(type, (event) => event.pointerType === "touch" && act(event), { signal });
  on("pointerdown", (event) => {
    start = event.isPrimary ? at(event) : undefined;
    // Beyond the chart's edge it goes on.
    if (event.isPrimary) over.setPointerCapture(event.pointerId);
  });
  on("pointermove", (event) => {
    if (start === undefined) return;
    const x = at(event);
    plot.setCursor({ left: x, top: over.clientHeight / 2 });
    show(Math.min(start, x), Math.abs(x - start));
  });
  on("pointerup", () => {
    if (start !== undefined) take();
    start = undefined;
  });
  on("pointercancel", () => {
    start = undefined;
    show(0, 0);
  });
}

/** One point on; where the span began, if Shift goes on with one. */
function move(plot: uPlot, by: number, event: KeyboardEvent, anchor?: number): number | undefined {
  const times = plot.data[0];
  const at = plot.cursor.idx ?? (by > 0 ? -1 : times.length);
  const stride = event.ctrlKey ? STRIDE : 1;
  const next = Math.max(0, Math.min(times.length - 1, at + by * stride));
  const left = (i: number) => plot.valToPos(times[i] ?? 0, "x");
  plot.setCursor({ left: left(next), top: plot.over.clientHeight / 2 });
  const from = event.shiftKey ? (anchor ?? Math.max(0, at)) : undefined;
  const [start, end] = from === undefined ? [0, 0] : [Math.min(from, next), Math.max(from, next)];
  const width = left(end) - left(start);
  plot.setSelect({ left: left(start), top: 0, width, height: plot.over.clientHeight }, false);
  return from;
}

/** The span that the view is about, behind the series. */
export function marking(marked: () => Span | undefined, fill: string, edge: string): uPlot.Plugin {
  return {
    hooks: {
      drawClear: (plot) => {
        const span = marked();
        if (!span) return;
        const { ctx, bbox } = plot;
        const right = bbox.left + bbox.width;
        const within = (time: number) =>
          Math.min(right, Math.max(bbox.left, plot.valToPos(time, "x", true)));
        const [from, to] = [within(span.from), within(span.to)];
        ctx.save();
        ctx.fillStyle = fill;
        ctx.fillRect(from, bbox.top, to - from, bbox.height);
        ctx.fillStyle = edge;
        for (const x of [from, to]) ctx.fillRect(x - 1, bbox.top, 2, bbox.height);
        ctx.restore();
      },
    },
  };
}
