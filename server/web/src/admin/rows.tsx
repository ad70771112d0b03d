// A table that sorts by any column; where it is wider than the screen it scrolls inside its box.
import type { ComponentChildren } from "preact";
import { useMemo, useState } from "preact/hooks";
import "../explore/table.css";
import "./rows.css";

export interface Column<T> {
  title: string;
  hint?: string;
  /** What is sorted by; a column without it is not sortable. */
  by?: (row: T) => string | number;
  /** Numbers stand at the right and begin with the greatest. */
  isNumber?: boolean;
  cell: (row: T) => ComponentChildren;
}

interface Props<T> {
  label: string;
  rows: T[];
  columns: Column<T>[];
  keyOf: (row: T) => string;
  /** What stands below a row, over its whole width. */
  below?: (row: T) => ComponentChildren;
}

const NAMES = new Intl.Collator("en", { numeric: true });

export function Rows<T>({ label, rows, columns, keyOf, below }: Props<T>) {
  const [sorting, setSorting] = useState<{ title: string; isReversed: boolean }>();
  const shown = useMemo(() => {
    const column = columns.find((it) => it.title === sorting?.title);
    return column?.by ? sorted(rows, column.by, column.isNumber === true, sorting?.isReversed === true) : rows;
  }, [rows, sorting]);
  const head = ({ title, hint, by, isNumber }: Column<T>) => {
    const isSorted = sorting?.title === title;
    const isRising = isSorted && sorting.isReversed === (isNumber === true);
    return (
      <th
        key={title}
        scope="col"
        title={hint}
        class={isNumber ? "number" : undefined}
        aria-sort={isSorted ? (isRising ? "ascending" : "descending") : undefined}
      >
        {by ? (
          <button type="button" onClick={() => setSorting({ title, isReversed: isSorted && !sorting.isReversed })}>
            {title}
            {isSorted && <span aria-hidden="true">{isRising ? " ▲" : " ▼"}</span>}
          </button>
        ) : (
          title
        )}
      </th>
    );
  };
  return (
    <div class="table rows" role="region" aria-label={`${label}, the table`} tabIndex={0}>
      <table class="small">
        <thead>
          <tr>{columns.map(head)}</tr>
        </thead>
        <tbody>
          {shown.map((row) => [
            <tr key={keyOf(row)}>
              {columns.map((column) => (
                <td key={column.title} class={column.isNumber ? "number num" : undefined}>
                  {column.cell(row)}
                </td>
              ))}
            </tr>,
            below?.(row) && (
              <tr key={`${keyOf(row)} below`} class="below">
                <td colSpan={columns.length}>{below(row)}</td>
              </tr>
            ),
          ])}
        </tbody>
      </table>
    </div>
  );
}

function sorted<T>(rows: T[], by: (row: T) => string | number, isNumber: boolean, isReversed: boolean): T[] {
  const sign = isNumber === isReversed ? 1 : -1;
  return [...rows].sort((a, b) => {
    const [left, right] = [by(a), by(b)];
    if (typeof left === "string" || typeof right === "string") {
      return sign * NAMES.compare(String(left), String(right));
    }
    // What is not known stands at the end either way.
    const [isLeft, isRight] = [!Number.isNaN(left), !Number.isNaN(right)];
    return isLeft && isRight ? sign * (left - right) : Number(isRight) - Number(isLeft);
  });
}
