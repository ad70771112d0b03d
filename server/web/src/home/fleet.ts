// What the host cards show, from a handful of queries over all hosts at once.
import { range, type Labels, type Series } from "../api/prometheus";

export interface Spark {
  times: number[];
  values: number[];
}

export interface Host {
  name: string;
  /** For example `Linux 6.18.1 · x86_64`. */
  system: string;
  n_cores: number;
  load1: number;
  /** Of the hottest sensor, in degrees Celsius; NaN without sensors. */
  temperature: number;
  /** Seconds since the Unix epoch. */
  booted_at: number;
  cpu: Spark;
  memory: { used: number; total: number; percent: Spark };
  /** The fullest file system. */
  disk: { mountpoint: string; used: number; total: number };
  /** Bytes a second. */
  received: Spark;
  sent: Spark;
  read: Spark;
  written: Spark;
  /** Seconds since the Unix epoch, of the newest CPU point; NaN if there is none in the window. */
  seen_at: number;
}

export const WINDOW_S = 15 * 60;
const STEP_S = 15;
/** A host without CPU points for this long is shown as silent. */
export const SILENT_AFTER_S = 120;

const NICS = 'device!~"lo|veth.*|docker.*|br-.*|virbr.*"';
/** Whole disks: what a volume or a RAID above them does is done by them. */
const DRIVES = 'device!~"loop.*|ram.*|zram.*|dm-.*|md.*|sr.*"';
const DISKS = 'fstype!~"tmpfs|ramfs|squashfs|iso9660|nsfs|devtmpfs|autofs|rpc_pipefs"';

export async function fleet(nowMs: number, abort: AbortSignal): Promise<Host[]> {
  // On the grid of steps: the same points come back, and a cache can keep them.
  const end = Math.ceil(nowMs / 1000 / STEP_S) * STEP_S;
  const at = { start: end - WINDOW_S, end, step: STEP_S };
  const instant = { start: end, end, step: STEP_S };
  const now = (query: string) => range(query, instant, abort).then((it) => byHost(it.series));
  const over = (query: string) => range(query, at, abort).then((it) => byHost(it.series));
  const [uname, cores, load, heat, boot, available, total, free, size, cpu, memory, ...rates] =
    await Promise.all([
      now("last_over_time(node_uname_info[6h])"),
      now('count by (instance) (node_cpu_seconds_total{mode="idle"})'),
      now("node_load1"),
      now("max by (instance) (node_hwmon_temp_celsius or node_thermal_zone_temp)"),
      now("last_over_time(node_boot_time_seconds[6h])"),
      now("node_memory_MemAvailable_bytes"),
      now("node_memory_MemTotal_bytes"),
      now(`node_filesystem_avail_bytes{${DISKS}}`),
      now(`node_filesystem_size_bytes{${DISKS}}`),
      over('100 * (1 - avg by (instance) (rate(node_cpu_seconds_total{mode="idle"}[1m])))'),
      over("100 * (1 - node_memory_MemAvailable_bytes / node_memory_MemTotal_bytes)"),
      over(`sum by (instance) (rate(node_network_receive_bytes_total{${NICS}}[1m]))`),
      over(`sum by (instance) (rate(node_network_transmit_bytes_total{${NICS}}[1m]))`),
      over(`sum by (instance) (rate(node_disk_read_bytes_total{${DRIVES}}[1m]))`),
      over(`sum by (instance) (rate(node_disk_written_bytes_total{${DRIVES}}[1m]))`),
    ]);
  const [received = NONE, sent = NONE, read = NONE, written = NONE] = rates;
  const names = [...uname.keys()].sort(byName);
  return names.map((name) => ({
    name,
    system: systemOf(uname.get(name)?.[0]?.labels ?? {}),
    n_cores: newest(cores, name),
    load1: newest(load, name),
    temperature: newest(heat, name),
    booted_at: newest(boot, name),
    cpu: spark(cpu, name),
    memory: {
      used: newest(total, name) - newest(available, name),
      total: newest(total, name),
      percent: spark(memory, name),
    },
    disk: fullest(size.get(name) ?? [], free.get(name) ?? []),
    received: spark(received, name),
    sent: spark(sent, name),
    read: spark(read, name),
    written: spark(written, name),
    seen_at: cpu.get(name)?.[0]?.times.at(-1) ?? NaN,
  }));
}

type ByHost = Map<string, Series[]>;
const NONE: ByHost = new Map();

export function byHost(all: Series[]): ByHost {
  const hosts: ByHost = new Map();
  for (const series of all) {
    const name = series.labels.instance ?? "";
    const found = hosts.get(name);
    if (found) found.push(series);
    else hosts.set(name, [series]);
  }
  return hosts;
}

function newest(all: ByHost, name: string): number {
  return all.get(name)?.[0]?.values.at(-1) ?? NaN;
}

function spark(all: ByHost, name: string): Spark {
  const found = all.get(name)?.[0];
  return { times: found?.times ?? [], values: found?.values ?? [] };
}

function systemOf(uname: Labels): string {
  const { sysname = "", release = "", machine = "" } = uname;
  return [`${sysname} ${release}`.trim(), machine].filter((part) => part !== "").join(" · ");
}

function fullest(sizes: Series[], frees: Series[]): Host["disk"] {
  const rows = sizes.map(({ labels, values }) => {
    const free = frees.find(
      (it) =>
        it.labels.mountpoint === labels.mountpoint &&
        it.labels.device === labels.device &&
        it.labels.fstype === labels.fstype,
    );
    const total = values.at(-1) ?? NaN;
    return { mountpoint: labels.mountpoint ?? "", total, used: total - (free?.values.at(-1) ?? NaN) };
  });
  const real = rows.filter((row) => row.total > 0 && Number.isFinite(row.used));
  real.sort((a, b) => b.used / b.total - a.used / a.total);
  return real[0] ?? { mountpoint: "", used: NaN, total: NaN };
}

function byName(a: string, b: string): number {
  return a.localeCompare(b, undefined, { numeric: true });
}
