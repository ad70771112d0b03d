// Which units of which hosts have sockets that wait for others.
import { range, type Series } from "../api/prometheus";

export interface ListeningUnit {
  host: string;
  unit: string;
  /** For example `2 tcp, 1 udp`. */
  sockets: string;
}

const GRID_S = 60;

export async function listeningUnits(nowMs: number, abort: AbortSignal): Promise<ListeningUnit[]> {
  const end = Math.floor(nowMs / 1000 / GRID_S) * GRID_S;
  const at = { start: end, end, step: GRID_S };
  const query = "sum by (instance, unit, protocol) (unit_listening_sockets)";
  return unitsOf((await range(query, at, abort)).series);
}

export function unitsOf(all: Series[]): ListeningUnit[] {
  const found = new Map<string, { host: string; unit: string; sockets: string[] }>();
  for (const { labels, values } of all) {
    const n_sockets = values.at(-1) ?? 0;
    const { instance: host = "", unit = "", protocol = "" } = labels;
    if (!(n_sockets > 0) || unit === "") continue;
    const key = JSON.stringify([host, unit]);
    const row = found.get(key) ?? { host, unit, sockets: [] };
    row.sockets.push(`${n_sockets} ${protocol}`);
    found.set(key, row);
  }
  const rows = [...found.values()].map((it) => ({ ...it, sockets: it.sockets.sort().join(", ") }));
  return rows.sort((a, b) => a.unit.localeCompare(b.unit) || a.host.localeCompare(b.host));
}
