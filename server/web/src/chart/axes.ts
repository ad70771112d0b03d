// How the axes of a chart are labelled.
import type uPlot from "uplot";

/** Half of the widest time below the chart, `00:00:00`: the last one ends at the right edge. */
export const RIGHT_PX = 30;
/** A time and a gap, so that no two run into each other: without and with seconds. */
const TICK_PX = 46;
const FINE_TICK_PX = 66;

const pad = (n: number) => String(n).padStart(2, "0");

/** Seconds are shown where the ticks would be less than a minute apart. */
export function tickSpace(_: uPlot, __: number, from: number, to: number, width: number): number {
  return ((to - from) / width) * TICK_PX < 60 ? FINE_TICK_PX : TICK_PX;
}

/** Hours of 24, whatever the browser's language; the day where it changes. */
export function timeTicks(_: uPlot, ticks: number[], __: number, ___: number, step: number): string[] {
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
