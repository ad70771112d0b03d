// Which log streams write the most, by the values of a label.
import { useState } from "preact/hooks";
import { volumeBy, type Ranked } from "../api/admin";
import { labelNames } from "../api/loki-labels";
import { usePoll } from "../api/poll";
import { Link } from "../route";
import { bytes } from "../ui/format";
import { Trouble } from "../ui/trouble";
import { exploreHref, selector } from "./address";
import { Rows, type Column } from "./rows";
import { Share } from "./share";

const REFRESH_MS = 120_000;
const DAY_S = 86_400;
const GRID_S = 300;
const N_LISTED = 200;
/** What tells most where it is there. */
const FIRST = ["unit", "host", "job", "service_name"];

export function StreamVolumes() {
  const names = usePoll("labels", REFRESH_MS, () => labelNames("{}"));
  const [chosen, setChosen] = useState<string>();
  const label = chosen ?? FIRST.find((it) => names.data?.includes(it)) ?? names.data?.[0] ?? "";
  const { data, error } = usePoll(label, REFRESH_MS, async (abort) => {
    const end = Math.ceil(Date.now() / 1000 / GRID_S) * GRID_S;
    const rows = label === "" ? [] : await volumeBy(label, [end - DAY_S, end], N_LISTED, abort);
    return { label, rows };
  });
  const rows = data?.label === label ? data.rows : [];
  const total = rows.reduce((sum, it) => sum + it.value, 0);
  const columns: Column<Ranked>[] = [
    {
      title: label || "Label",
      by: (it) => it.name,
      cell: (it) => (
        <Link
          class="name mono ellipsis"
          title={it.name}
          href={exploreHref({ language: "logql", query: selector(undefined, { [label]: it.name }) }) ?? ""}
        >
          {it.name}
        </Link>
      ),
    },
    { title: "Lines", hint: "bytes of lines", isNumber: true, by: (it) => it.value, cell: (it) => bytes(it.value) },
    { title: "Share", cell: (it) => <Share part={it.value} of={total} label={it.name} /> },
  ];
  return (
    <section class="panel" aria-label="Log lines by label" data-testid="stream-volumes">
      <div class="panel-head">
        <h2>Log lines by label</h2>
        <span class="muted small grow">the last 24 hours, before compression</span>
        {names.data && names.data.length > 0 && (
          <select aria-label="Label" value={label} onChange={(event) => setChosen(event.currentTarget.value)}>
            {names.data.map((it) => (
              <option key={it} value={it}>
                {it}
              </option>
            ))}
          </select>
        )}
      </div>
      <Trouble error={error ?? names.error} />
      {names.data?.length === 0 && <p class="message">No log line has come in lately.</p>}
      {label !== "" && data?.label === label && rows.length === 0 && (
        <p class="message">No line of the last 24 hours has the label {label}.</p>
      )}
      {rows.length > 0 && <Rows label={`Log lines by ${label}`} rows={rows} columns={columns} keyOf={(it) => it.name} />}
    </section>
  );
}
