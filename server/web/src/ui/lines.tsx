// Log lines, one row each; a row opens to every field the line came with.
import { useState } from "preact/hooks";
import "./lines.css";
import type { Line } from "../api/loki";
import { LineRow, type LineActions } from "./lines-row";
import { LongList } from "./long-list";

export type { LineActions };

interface Props {
  lines: Line[];
  /** Whole lines instead of their beginnings. */
  isWrapped?: boolean;
  /** Marked wherever it stands. */
  sought?: RegExp | undefined;
  actions?: LineActions | undefined;
  /** The key of a line that stands out, and to which the list scrolls first. */
  marked?: string;
  label?: string;
}

export function LineList({ lines, isWrapped = false, sought, actions, marked, label }: Props) {
  const [open, setOpen] = useState<ReadonlySet<string>>(new Set());
  // Rows keep the first `toggle` they get.
  const toggle = (key: string) =>
    setOpen((old) => {
      const next = new Set(old);
      if (!next.delete(key)) next.add(key);
      return next;
    });
  const now = Date.now();
  const at = marked === undefined ? -1 : lines.findIndex((line) => line.key === marked);
  return (
    <LongList
      class={isWrapped ? "lines wrapped" : "lines"}
      label={label ?? "Log lines"}
      items={lines}
      keyOf={keyOf}
      layout={String(isWrapped)}
      {...(at >= 0 ? { startAt: at } : {})}
      row={(line, index, isActive) => (
        <LineRow
          key={line.key}
          line={line}
          now={now}
          place={index + 1}
          n_lines={lines.length}
          isActive={isActive}
          isOpen={open.has(line.key)}
          isMarked={line.key === marked}
          isWhole={isWrapped}
          sought={sought}
          actions={actions}
          toggle={toggle}
        />
      )}
    />
  );
}

const keyOf = (line: Line) => line.key;
