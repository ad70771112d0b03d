// A long list of which only the rows in sight are in the page; rows may have any height.
import type { ComponentChildren, VNode } from "preact";
import { useEffect, useLayoutEffect, useMemo, useRef, useState } from "preact/hooks";
import { RowHeights } from "./row-heights";

/** Rows beyond both edges, so that a turn of the wheel shows no gap. */
const OVERSCAN = 8;
/** Until the first row is measured. */
const ROW_PX = 28;

interface Props<T> {
  items: T[];
  keyOf: (item: T) => string;
  /** An `li` whose first child is its button; Tab reaches that of the active row. */
  row: (item: T, index: number, isActive: boolean) => VNode;
  class: string;
  label: string;
  /** Starts again with unknown heights: rows are laid out in another way. */
  layout: string;
  /** A row to begin with in the middle. */
  startAt?: number;
  children?: ComponentChildren;
}

export function LongList<T>({ items, keyOf, row, label, layout, startAt, ...rest }: Props<T>) {
  const box = useRef<HTMLDivElement>(null);
  const list = useRef<HTMLUListElement>(null);
  /** Heights of rows that differ from the usual, to find them again in the next list. */
  const unusual = useRef({ layout, of: new Map<string, number>() });
  const [estimate, setEstimate] = useState({ layout: "", px: ROW_PX });
  const anchor = useRef<{ key: string; index: number; delta: number }>();
  const [active, setActive] = useState(0);
  const wantsFocus = useRef(false);
  const [, redraw] = useState(0);
  const [view, setView] = useState({ top: 0, height: 600 });

  const heights = useMemo(() => {
    if (unusual.current.layout !== layout) unusual.current = { layout, of: new Map() };
    const { of } = unusual.current;
    const all = new RowHeights(items.length, estimate.px);
    if (of.size > 0) {
      items.forEach((item, i) => {
        const height = of.get(keyOf(item));
        if (height !== undefined) all.set(i, height);
      });
    }
    return all;
  }, [items, layout, estimate]);

  const first = Math.max(0, heights.rowAt(view.top) - OVERSCAN);
  const last = Math.min(items.length, heights.rowAt(view.top + view.height) + OVERSCAN + 1);
  const shown = items.slice(first, last);
  const tabbed = active >= first && active < last ? active : heights.rowAt(view.top);

  const look = () => {
    const element = box.current;
    if (!element) return;
    const index = heights.rowAt(element.scrollTop);
    const item = items[index];
    // At the upper edge the list stays there, and new rows come into sight.
    const isAway = element.scrollTop > 0 && item !== undefined;
    anchor.current = isAway
      ? { key: keyOf(item), index, delta: element.scrollTop - heights.top(index) }
      : undefined;
    const next = { top: element.scrollTop, height: element.clientHeight };
    setView((old) => (old.top === next.top && old.height === next.height ? old : next));
  };

  useLayoutEffect(() => {
    const element = box.current;
    if (!element || startAt === undefined) return;
    element.scrollTop = heights.top(startAt) - element.clientHeight / 2;
    look();
  }, []);

  // What is in sight stays where it is while rows above it come, go and are measured.
  useLayoutEffect(() => {
    const element = box.current;
    const held = anchor.current;
    if (element && held) {
      const same = items[held.index];
      const isSame = same !== undefined && keyOf(same) === held.key;
      const index = isSame ? held.index : items.findIndex((item) => keyOf(item) === held.key);
      if (index >= 0) {
        const top = heights.top(index) + held.delta;
        if (Math.abs(element.scrollTop - top) >= 1) element.scrollTop = top;
      }
    }
    look();
  }, [items, heights]);

  const measure = () => {
    const rows = list.current?.children ?? [];
    if (estimate.layout !== layout && rows.length > 0) {
      const all = [...rows].map((it) => it.getBoundingClientRect().height).sort((a, b) => a - b);
      const px = all[Math.floor(all.length / 2)] ?? 0;
      if (px > 0) return setEstimate({ layout, px });
    }
    let isChanged = false;
    for (let i = 0; i < shown.length; i += 1) {
      const item = shown[i];
      const height = (rows[i] as HTMLElement | undefined)?.getBoundingClientRect().height ?? 0;
      if (item === undefined || height === 0) continue;
      if (heights.set(first + i, height)) isChanged = true;
      const { of } = unusual.current;
      if (Math.abs(height - estimate.px) >= 0.1) of.set(keyOf(item), height);
      else of.delete(keyOf(item));
    }
    if (!isChanged) return;
    const element = box.current;
    const held = anchor.current;
    if (element && held) {
      const top = heights.top(held.index) + held.delta;
      if (Math.abs(element.scrollTop - top) >= 1) element.scrollTop = top;
    }
    redraw((n) => n + 1);
  };
  const latest = useRef(measure);
  latest.current = measure;
  useLayoutEffect(() => latest.current(), [first, last, items, heights]);

  useEffect(() => {
    const observer = new ResizeObserver(() => {
      latest.current();
      look();
    });
    if (box.current) observer.observe(box.current);
    if (list.current) observer.observe(list.current);
    return () => observer.disconnect();
  }, []);

  useLayoutEffect(() => {
    if (!wantsFocus.current) return;
    wantsFocus.current = false;
    const element = list.current?.children[active - first];
    element?.querySelector<HTMLElement>("button")?.focus({ preventScroll: true });
  });

  const onKeyDown = (event: KeyboardEvent) => {
    const element = box.current;
    const isRow = (event.target as Element).parentElement?.parentElement === list.current;
    if (!element || !isRow) return;
    const page = Math.max(1, Math.floor(element.clientHeight / estimate.px) - 1);
    const steps: Record<string, number> = {
      ArrowDown: 1,
      ArrowUp: -1,
      PageDown: page,
      PageUp: -page,
      Home: -items.length,
      End: items.length,
    };
    const step = steps[event.key];
    if (step === undefined) return;
    event.preventDefault();
    const next = Math.min(Math.max(tabbed + step, 0), items.length - 1);
    const [top, bottom] = [heights.top(next), heights.top(next + 1)];
    if (top < element.scrollTop) element.scrollTop = top;
    else if (bottom > element.scrollTop + element.clientHeight) {
      element.scrollTop = bottom - element.clientHeight;
    }
    wantsFocus.current = true;
    setActive(next);
    look();
  };

  const below = heights.top(items.length) - heights.top(last);
  const space = { paddingTop: heights.top(first), paddingBottom: below };
  return (
    <div
      class={rest.class}
      ref={box}
      onScroll={look}
      onKeyDown={onKeyDown}
      onFocusIn={(event) => {
        const row = (event.target as Element).closest("li");
        const index = row ? [...(list.current?.children ?? [])].indexOf(row) : -1;
        if (index >= 0) setActive(first + index);
      }}
    >
      <ul ref={list} style={space} aria-label={label}>
        {shown.map((item, i) => row(item, first + i, first + i === tabbed))}
      </ul>
      {rest.children}
    </div>
  );
}
