// What stands beside the pointer on a chart: the time, and the series there with their values.
import type uPlot from "uplot";
import { fullTime } from "../ui/format";

export interface Told {
  name: string;
  value: string;
}

/** `tell` gives the series at an index; `focused` is the one under the pointer, if any is. */
export function tooltip(tell: (at: number, focused: number | undefined) => Told[]): uPlot.Plugin {
  const element = document.createElement("div");
  element.className = "tooltip small";
  element.hidden = true;
  let focused: number | undefined;
  let isOver = false;
  return {
    hooks: {
      init: (plot) => {
        plot.over.append(element);
        plot.over.addEventListener("mouseenter", () => {
          isOver = true;
        });
        plot.over.addEventListener("mouseleave", () => {
          isOver = false;
          element.hidden = true;
        });
        plot.root.addEventListener("focusin", () => {
          isOver = true;
        });
        plot.root.addEventListener("focusout", () => {
          isOver = false;
          element.hidden = true;
        });
      },
      setSeries: (_, i) => {
        focused = i === null || i === 0 ? undefined : i - 1;
      },
      setCursor: (plot) => {
        const { idx, left = 0, top = 0 } = plot.cursor;
        // Charts that share a cursor show its line; the numbers stand at the one in use.
        element.hidden = idx == null || left < 0 || !isOver;
        if (element.hidden || idx == null) return;
        const time = fullTime((plot.data[0][idx] ?? NaN) * 1000).slice(0, -4);
        const rows = tell(idx, focused).map(({ name, value }) => `${name}\n${value}`);
        element.textContent = [time, ...rows].join("\n");
        const isRight = left > plot.over.clientWidth / 2;
        element.style.left = isRight ? "" : `${left + 12}px`;
        element.style.right = isRight ? `${plot.over.clientWidth - left + 12}px` : "";
        element.style.top = `${Math.min(top + 12, plot.over.clientHeight - 60)}px`;
      },
    },
  };
}
