// The store day by day: what each takes, whether it is merged, and which goes first.
import type { Storage, StoredTable } from "../api/admin";
import { bytes, counted, value } from "../ui/format";
import { daysOf, type DayRow } from "./days-of";
import { Rows, type Column } from "./rows";

export function Days({ tables, next }: { tables: StoredTable[]; next: Storage["next_out"] }) {
  const rows = daysOf(tables, next);
  const columns: Column<DayRow>[] = [
    {
      title: "Day (UTC)",
      by: (it) => it.day,
      cell: (it) => (
        <>
          {it.day} {it.goesNext && <span class="tag">goes next</span>}
        </>
      ),
    },
    { title: "Samples", isNumber: true, by: (it) => it.samples, cell: (it) => some(it.samples) },
    { title: "Logs", isNumber: true, by: (it) => it.logs, cell: (it) => some(it.logs) },
    { title: "Summed up", isNumber: true, by: (it) => it.rollups, cell: (it) => some(it.rollups) },
    { title: "Size", isNumber: true, by: (it) => it.total, cell: (it) => bytes(it.total) },
    { title: "Rows", isNumber: true, by: (it) => it.rows, cell: (it) => value(it.rows) },
    {
      title: "Parts",
      hint: "files; many small ones wait to be merged",
      isNumber: true,
      by: (it) => it.parts,
      cell: (it) => (
        <>
          {it.parts}
          {it.unmerged > 0 && <span class="muted"> ({it.unmerged} unmerged)</span>}
        </>
      ),
    },
  ];
  const goes = next.map((it) => `${it.table} of ${it.day} (${counted(it.parts, "part")}, ${bytes(it.bytes)})`);
  return (
    <section class="panel" aria-label="Days" data-testid="days">
      <div class="panel-head">
        <h2>Days</h2>
        {goes.length > 0 && <span class="muted small">At the cap goes first: {goes.join(", ")}</span>}
      </div>
      {rows.length === 0 ? (
        <p class="message">No part is written yet: rows stay in memory and in the log until the first flush.</p>
      ) : (
        <Rows label="Days of the store" rows={rows} columns={columns} keyOf={(it) => it.day} />
      )}
    </section>
  );
}

function some(size: number): string {
  return size === 0 ? "–" : bytes(size);
}
