// The store's tables, turned into days; pure.
import type { Storage, StoredTable } from "../api/admin";

export interface DayRow {
  day: string;
  samples: number;
  logs: number;
  rollups: number;
  total: number;
  rows: number;
  parts: number;
  unmerged: number;
  goesNext: boolean;
}

/** The newest first. */
export function daysOf(tables: StoredTable[], next: Storage["next_out"]): DayRow[] {
  const days = new Map<string, DayRow>();
  for (const table of tables) {
    for (const it of table.days) {
      const none = { samples: 0, logs: 0, rollups: 0, total: 0, rows: 0, parts: 0, unmerged: 0 };
      const goesNext = next.some((out) => out.day === it.day);
      const row = days.get(it.day) ?? { day: it.day, ...none, goesNext };
      const kind = table.name === "logs" ? "logs" : table.name.startsWith("samples_") ? "rollups" : "samples";
      row[kind] += it.bytes;
      row.total += it.bytes;
      row.rows += it.rows;
      row.parts += it.parts;
      row.unmerged += it.unmerged_parts;
      days.set(it.day, row);
    }
  }
  return [...days.values()].sort((a, b) => (a.day < b.day ? 1 : -1));
}
