// What a host is, and whether it still reports.
import { instant, last, range, type Series } from "../api/prometheus";
import { quoted } from "./scope";

export interface Identity {
  /** Whether it has reported in the last year. */
  isKnown: boolean;
  /** Seconds since the epoch. */
  seen_at: number;
  /** For example `Linux 6.18.1 · x86_64`. */
  system: string;
  booted_at: number;
  n_cores: number;
  memory_bytes: number;
  /** Empty where something else than our agent reports. */
  agent_version: string;
}

const RECENT = "1h";
const YEAR_S = 365 * 86_400;
const COARSE_S = 6 * 3600;

export async function identity(host: string, now_s: number, abort: AbortSignal): Promise<Identity> {
  const of = `instance=${quoted(host)}`;
  const recent = await factsAt(of, undefined, abort);
  if (Number.isFinite(recent.seen_at)) return { isKnown: true, ...recent };
  const seen_at = await seenBefore(of, now_s, abort);
  if (!Number.isFinite(seen_at)) return { isKnown: false, ...recent };
  // What it was when it was last there.
  return { isKnown: true, ...(await factsAt(of, seen_at, abort)), seen_at };
}

/** Of the hour before `time`. */
async function factsAt(of: string, time: number | undefined, abort: AbortSignal) {
  const ask = async (query: string) => (await instant(query, time, abort)).series;
  const recent = (name: string, more = "") => ask(`last_over_time(${name}{${of}${more}}[${RECENT}])`);
  const [uname, boot, cpus, memory, agent, seen] = await Promise.all([
    recent("node_uname_info"),
    recent("node_boot_time_seconds"),
    recent("node_cpu_seconds_total", ',mode="idle"'),
    recent("node_memory_MemTotal_bytes"),
    recent("skep_agent_build_info"),
    ask(`max_over_time(timestamp(node_boot_time_seconds{${of}})[${RECENT}:15s])`),
  ]);
  return {
    seen_at: Math.max(...seen.map(last), -Infinity),
    system: systemOf(uname[0]),
    booted_at: last(boot[0]),
    n_cores: cpus.length > 0 ? cpus.length : NaN,
    memory_bytes: last(memory[0]),
    agent_version: agent[0]?.labels.version ?? "",
  };
}

async function seenBefore(of: string, now_s: number, abort: AbortSignal): Promise<number> {
  const end = Math.ceil(now_s / COARSE_S) * COARSE_S;
  const at = { start: end - YEAR_S, end, step: COARSE_S };
  const query = `max(max_over_time(timestamp(node_boot_time_seconds{${of}})[${COARSE_S}s:5m]))`;
  const { series } = await range(query, at, abort);
  return last(series[0]);
}

function systemOf(uname: Series | undefined): string {
  const { sysname = "", release = "", machine = "" } = uname?.labels ?? {};
  return [`${sysname} ${release}`.trim(), machine].filter((part) => part !== "").join(" · ");
}
