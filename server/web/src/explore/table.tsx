// Series with their newest value, a column for each label that occurs; a click on a head sorts.
import { useMemo, useState } from "preact/hooks";
import "./table.css";
import { last, type Series } from "../api/prometheus";
import { fullTime, value } from "../ui/format";

/** More rows than anybody reads; a browser gets slow beyond it. */
const ROWS_MAX = 1000;
/** The column of values, which no label can be called. */
const VALUE = "";

interface Sorting {
  name: string;
  isRising: boolean;
}

const CODES = new Intl.Collator("en", { numeric: true });

export function Table({ series }: { series: Series[] }) {
  const [sorting, setSorting] = useState<Sorting>({ name: VALUE, isRising: false });
  const names = [...new Set(series.flatMap((it) => Object.keys(it.labels)))];
  names.sort((a, b) => (a === "__name__" ? -1 : b === "__name__" ? 1 : a < b ? -1 : 1));
  const rows = useMemo(() => sorted(series, sorting).slice(0, ROWS_MAX), [series, sorting]);
  const head = (name: string) => {
    const isSorted = sorting.name === name;
    const direction = sorting.isRising ? "ascending" : "descending";
    return (
      <th
        key={name}
        scope="col"
        class={name === VALUE ? "number" : undefined}
        aria-sort={isSorted ? direction : undefined}
      >
        <button
          type="button"
          onClick={() => setSorting({ name, isRising: isSorted ? !sorting.isRising : name !== VALUE })}
        >
          {name === VALUE ? "value" : name === "__name__" ? "metric" : name}
          {isSorted && <span aria-hidden="true">{sorting.isRising ? " ▲" : " ▼"}</span>}
        </button>
      </th>
    );
  };
  return (
    <div class="table">
      <table class="small">
        <thead>
          <tr>
            {names.map(head)}
            {head(VALUE)}
          </tr>
        </thead>
        <tbody>
          {rows.map((row, i) => (
            <tr key={i}>
              {names.map((name) => (
                <td key={name} class="mono ellipsis" title={row.labels[name] ?? ""}>
                  {row.labels[name] ?? ""}
                </td>
              ))}
              <td class="number num" title={title(row)}>
                {value(last(row))}
              </td>
            </tr>
          ))}
        </tbody>
      </table>
      {series.length > rows.length && (
        <p class="result-note">Only the first {rows.length} rows are shown; the export has all.</p>
      )}
    </div>
  );
}

function sorted(series: Series[], { name, isRising }: Sorting): Series[] {
  const sign = isRising ? 1 : -1;
  return [...series].sort((a, b) => {
    if (name !== VALUE) return sign * CODES.compare(a.labels[name] ?? "", b.labels[name] ?? "");
    const [left, right] = [last(a), last(b)];
    // What is not a number stands at the end either way.
    const [isLeft, isRight] = [!Number.isNaN(left), !Number.isNaN(right)];
    if (!isLeft || !isRight) return Number(isRight) - Number(isLeft);
    return sign * (left - right) || 0;
  });
}

function title(row: Series): string {
  return `${last(row)} at ${fullTime((row.times.at(-1) ?? NaN) * 1000)}`;
}
