// What agents say of themselves, from the metrics they send.
import { getJson } from "../api/client";
import { instant, last, type Labels, type Series } from "../api/prometheus";
import { byHost } from "../home/fleet";
import { quoted } from "../host/scope";

export interface Program {
  name: string;
  /** Empty if it runs. */
  reason: string;
}

export interface Agent {
  name: string;
  version: string;
  /** Seconds since the epoch, of the newest sample that came; NaN for an agent that is away. */
  seen_at: number;
  spool_bytes: number;
  spool_items: number;
  /** In the last hour: given up by the agent, refused by the server, requests that failed. */
  dropped: number;
  rejected: number;
  failed: number;
  missed: number;
  programs: Program[];
}

const INFO = "skep_agent_build_info";
/** An agent that is away for longer is forgotten here. */
export const KNOWN_DAYS = 30;
const DAY_S = 86_400;

export async function agents(now_s: number, abort: AbortSignal): Promise<Agent[]> {
  const ask = async (query: string) => byHost((await instant(query, undefined, abort)).series);
  const hour = (name: string, more = "") => ask(`sum by (instance) (increase(${name}${more}[1h]))`);
  // Index alone: who was there in the last days.
  const start = Math.floor(now_s / DAY_S) * DAY_S - KNOWN_DAYS * DAY_S;
  const known = getJson("/api/v1/series", { "match[]": INFO, start }, abort);
  const [series, seen, bytes, items, dropped, rejected, failed, missed, programs] = await Promise.all([
    known,
    ask(`timestamp(${INFO})`),
    ask("sum by (instance) (skep_agent_spool_bytes)"),
    ask("sum by (instance) (skep_agent_spool_items)"),
    hour("skep_agent_spool_dropped_total"),
    hour("skep_agent_ship_rejected_total"),
    hour("skep_agent_ship_requests_total", '{code!~"2.."}'),
    hour("skep_agent_ticks_missed_total"),
    ask("ebpf_program_loaded"),
  ]);
  const versions = new Map<string, string>();
  for (const { instance = "", version = "" } of (series as { data: Labels[] }).data) {
    versions.set(instance, version);
  }
  const names = [...versions.keys()].sort((a, b) => a.localeCompare(b, undefined, { numeric: true }));
  return names.map((name) => {
    const present = newest(seen.get(name) ?? []);
    const figure = (of: Map<string, Series[]>) => last(of.get(name)?.[0]);
    return {
      name,
      // After an update both versions are known: the one that still speaks counts.
      version: present?.labels.version ?? versions.get(name) ?? "",
      seen_at: last(present),
      spool_bytes: figure(bytes),
      spool_items: figure(items),
      dropped: figure(dropped),
      rejected: figure(rejected),
      failed: figure(failed),
      missed: figure(missed),
      programs: (programs.get(name) ?? []).map(programOf),
    };
  });
}

/** When agents that are away were last heard of, by name. */
export async function lastSeen(names: string[], abort: AbortSignal): Promise<Map<string, number>> {
  if (names.length === 0) return new Map();
  const pattern = names.map((it) => it.replace(/[\\^$.*+?()[\]{}|]/g, "\\$&")).join("|");
  const times = `timestamp(${INFO}{instance=~${quoted(pattern)}})`;
  const query = `max by (instance) (max_over_time(${times}[${KNOWN_DAYS}d:5m]))`;
  const { series } = await instant(query, undefined, abort);
  return new Map(series.map((it) => [it.labels.instance ?? "", last(it)]));
}

function programOf({ labels, values }: Series): Program {
  const runs = values.at(-1) === 1;
  return { name: labels.program ?? "", reason: runs ? "" : labels.reason || "unknown" };
}

function newest(all: Series[]): Series | undefined {
  return all.reduce<Series | undefined>((best, it) => (best && last(best) >= last(it) ? best : it), undefined);
}
