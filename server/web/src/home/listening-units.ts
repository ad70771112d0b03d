// Which units of which hosts have sockets that wait for others, and on which ports.
import { range, type Series } from "../api/prometheus";

export interface ListeningUnit {
  host: string;
  unit: string;
  /** For example `tcp 80, 443 · udp 53`; how many there are where an agent tells no ports. */
  sockets: string;
}

const GRID_S = 60;
/** Both at once: what has no port is the number of sockets. */
const QUERY = 'sum by (instance, unit, protocol, port) ({__name__=~"unit_listening_(sockets|port)"})';

export async function listeningUnits(nowMs: number, abort: AbortSignal): Promise<ListeningUnit[]> {
  const end = Math.floor(nowMs / 1000 / GRID_S) * GRID_S;
  const at = { start: end, end, step: GRID_S };
  return unitsOf((await range(QUERY, at, abort)).series);
}

interface Sockets {
  count: number;
  ports: number[];
}

export function unitsOf(all: Series[]): ListeningUnit[] {
  const found = new Map<string, { host: string; unit: string; by: Map<string, Sockets> }>();
  for (const { labels, values } of all) {
    const n_sockets = values.at(-1) ?? 0;
    const { instance: host = "", unit = "", protocol = "", port = "" } = labels;
    if (!(n_sockets > 0) || unit === "") continue;
    const key = JSON.stringify([host, unit]);
    const row = found.get(key) ?? { host, unit, by: new Map<string, Sockets>() };
    found.set(key, row);
    const sockets = row.by.get(protocol) ?? { count: 0, ports: [] };
    row.by.set(protocol, sockets);
    if (port === "") sockets.count = n_sockets;
    else sockets.ports.push(Number(port));
  }
  const rows = [...found.values()].map(({ host, unit, by }) => ({ host, unit, sockets: textOf(by) }));
  return rows.sort((a, b) => a.unit.localeCompare(b.unit) || a.host.localeCompare(b.host));
}

function textOf(by: Map<string, Sockets>): string {
  const texts = [...by].map(([protocol, { count, ports }]) =>
    ports.length === 0 ? `${count} ${protocol}` : `${protocol} ${ports.sort((a, b) => a - b).join(", ")}`,
  );
  return texts.sort().join(" · ");
}
