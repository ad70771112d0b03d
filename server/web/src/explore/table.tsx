// Series with their newest value, a column for each label that occurs.
import "./table.css";
import { last, type Series } from "../api/prometheus";
import { fullTime, value } from "../ui/format";

/** More rows than anybody reads; a browser gets slow beyond it. */
const ROWS_MAX = 1000;

export function Table({ series }: { series: Series[] }) {
  const names = [...new Set(series.flatMap((it) => Object.keys(it.labels)))];
  names.sort((a, b) => (a === "__name__" ? -1 : b === "__name__" ? 1 : a < b ? -1 : 1));
  const rows = [...series].sort((a, b) => last(b) - last(a)).slice(0, ROWS_MAX);
  return (
    <div class="table">
      <table class="small">
        <thead>
          <tr>
            {names.map((name) => (
              <th key={name} scope="col">
                {name === "__name__" ? "metric" : name}
              </th>
            ))}
            <th scope="col" class="number">
              value
            </th>
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
        <p class="result-note">Only the highest {rows.length} rows are shown.</p>
      )}
    </div>
  );
}

function title(row: Series): string {
  return `${last(row)} at ${fullTime((row.times.at(-1) ?? NaN) * 1000)}`;
}
