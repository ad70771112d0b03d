// Long lists: only the rows in sight, and a few around them, are in the document.
import { useLayoutEffect, useState } from "preact/hooks";
import type { RefObject } from "preact";

export interface Rows {
  first: number;
  /** Not among them. */
  end: number;
}

/** Rows beyond each edge, so that scrolling does not show blank ones; in steps, so that not every
 * pixel draws anew. */
const AROUND = 10;

export function rowsInSight(top: number, height: number, row_px: number, count: number): Rows {
  const first = Math.floor(Math.max(0, top) / row_px / AROUND) * AROUND - AROUND;
  const end = Math.ceil((Math.max(0, top) + height) / row_px / AROUND) * AROUND + AROUND;
  const last = Math.min(count, end);
  return { first: Math.max(0, Math.min(first, last)), end: last };
}

/** The rows of `count` that are in sight of the scrolling element; `head_px` stands above them. */
export function useRowsInSight(
  element: RefObject<HTMLElement>,
  count: number,
  row_px: number,
  head_px = 0,
): Rows {
  const [rows, setRows] = useState<Rows>(() => rowsInSight(0, 0, row_px, count));
  useLayoutEffect(() => {
    const box = element.current;
    if (!box) return;
    const look = () => {
      const next = rowsInSight(box.scrollTop - head_px, box.clientHeight, row_px, count);
      setRows((old) => (old.first === next.first && old.end === next.end ? old : next));
    };
    look();
    box.addEventListener("scroll", look, { passive: true });
    const observer = new ResizeObserver(look);
    observer.observe(box);
    return () => {
      box.removeEventListener("scroll", look);
      observer.disconnect();
    };
  }, [count, row_px, head_px]);
  return { first: Math.min(rows.first, count), end: Math.min(rows.end, count) };
}
