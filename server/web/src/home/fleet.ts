// What the host cards show, from two queries over all hosts at once: what changes with every sample,
// of which only the new points are asked for, and what changes seldom.
import { range, type Labels, type Range, type Series } from "../api/prometheus";
import { DISKS, DRIVES, NICS } from "../host/scope";

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
/** Samples of a host that is slow to send lie behind the newest of another. */
const OVERLAP_S = 60;
/** What comes later still, from a spool that fills the past, is found by asking for all again. */
const WHOLE_S = 5 * 60;
const FACTS_S = 60;
/** A host without CPU points for this long is shown as silent. */
export const SILENT_AFTER_S = 120;

/** `or` takes series that differ in nothing but their name for the same, so each has a label. */
const named = (figure: string, query: string) => `label_replace(${query}, "figure", "${figure}", "", "")`;
const rates = (metric: string, devices: string) =>
  `sum by (instance) (rate(${metric}{${devices}}[1m]))`;

const LIVE = [
  named("cpu", '100 * (1 - avg by (instance) (rate(node_cpu_seconds_total{mode="idle"}[1m])))'),
  named("received", rates("node_network_receive_bytes_total", NICS)),
  named("sent", rates("node_network_transmit_bytes_total", NICS)),
  named("read", rates("node_disk_read_bytes_total", DRIVES)),
  named("written", rates("node_disk_written_bytes_total", DRIVES)),
  named("load", "node_load1"),
  named("available", "node_memory_MemAvailable_bytes"),
].join(" or ");

/** A host is shown for hours after its last sample, and what it was is remembered as long. */
const FACTS = [
  'last_over_time({__name__=~"node_uname_info|node_boot_time_seconds|node_memory_MemTotal_bytes"}[6h])',
  named("cores", 'count by (instance) (node_cpu_seconds_total{mode="idle"})'),
  named("temperature", "max by (instance) (node_hwmon_temp_celsius or node_thermal_zone_temp)"),
  `{__name__=~"node_filesystem_size_bytes|node_filesystem_avail_bytes",${DISKS}}`,
].join(" or ");

export type Ask = (query: string, at: Range, abort: AbortSignal) => Promise<Series[]>;

const asked: Ask = (query, at, abort) => range(query, at, abort).then((it) => it.series);

/** All hosts, as one tab follows them. */
export class Fleet {
  private live: Series[] = [];
  private live_end = -Infinity;
  private facts: Series[] = [];
  private facts_end = -Infinity;

  constructor(private readonly seriesOf: Ask = asked) {}

  async ask(now_ms: number, abort: AbortSignal): Promise<Host[]> {
    // On the grid of steps: the same points come back, and the server keeps them for all tabs.
    const end = Math.ceil(now_ms / 1000 / STEP_S) * STEP_S;
    await Promise.all([this.askLive(end, abort), this.askFacts(end, abort)]);
    return hostsOf(this.live, this.facts, end);
  }

  private async askLive(end: number, abort: AbortSignal) {
    const oldest = end - WINDOW_S;
    const isWhole = isLater(end, this.live_end, WHOLE_S);
    const start = isWhole ? oldest : Math.max(oldest, this.live_end - OVERLAP_S);
    const added = await this.seriesOf(LIVE, { start, end, step: STEP_S }, abort);
    this.live = joined(this.live, added, oldest, start);
    this.live_end = end;
  }

  private async askFacts(end: number, abort: AbortSignal) {
    if (!isLater(end, this.facts_end, FACTS_S)) return;
    this.facts = await this.seriesOf(FACTS, { start: end, end, step: STEP_S }, abort);
    this.facts_end = end;
  }
}

/** Whether a multiple of `every` lies between, which it does for all tabs at once. */
function isLater(end: number, last: number, every: number): boolean {
  return Math.floor(end / every) !== Math.floor(last / every);
}

/** Old points from `oldest` to before `start`, then the added ones. */
export function joined(old: Series[], added: Series[], oldest: number, start: number): Series[] {
  const all = new Map<string, Series>();
  for (const { labels, times, values } of old) {
    const [from, to] = [firstFrom(times, oldest), firstFrom(times, start)];
    if (from < to) all.set(keyOf(labels), { labels, times: times.slice(from, to), values: values.slice(from, to) });
  }
  for (const series of added) {
    const key = keyOf(series.labels);
    const before = all.get(key);
    const times = [...(before?.times ?? []), ...series.times];
    all.set(key, { labels: series.labels, times, values: [...(before?.values ?? []), ...series.values] });
  }
  return [...all.values()];
}

function firstFrom(times: number[], start: number): number {
  const first = times.findIndex((it) => it >= start);
  return first < 0 ? times.length : first;
}

const keyOf = (labels: Labels) => JSON.stringify([figureOf(labels), labels.instance]);
const figureOf = ({ figure, __name__ }: Labels) => figure ?? __name__ ?? "";

export function hostsOf(live: Series[], facts: Series[], end: number): Host[] {
  const figures = new Map<string, ByHost>();
  for (const series of [...live, ...facts]) {
    const figure = figureOf(series.labels);
    const of = figures.get(figure) ?? byHost([]);
    figures.set(figure, add(of, series));
  }
  const of = (figure: string): ByHost => figures.get(figure) ?? byHost([]);
  const uname = of("node_uname_info");
  const names = [...uname.keys()].sort(byName);
  return names.map((name) => {
    const sparkOf = (figure: string) => spark(of(figure).get(name)?.[0]);
    const factOf = (figure: string) => of(figure).get(name)?.[0]?.values.at(-1) ?? NaN;
    const available = sparkOf("available");
    const total = factOf("node_memory_MemTotal_bytes");
    const cpu = sparkOf("cpu");
    const { times, values } = available;
    return {
      name,
      system: systemOf(uname.get(name)?.[0]?.labels ?? {}),
      n_cores: factOf("cores"),
      load1: valueAt(sparkOf("load"), end),
      temperature: factOf("temperature"),
      booted_at: factOf("node_boot_time_seconds"),
      cpu,
      memory: {
        used: total - valueAt(available, end),
        total,
        percent: { times, values: values.map((it) => 100 * (1 - it / total)) },
      },
      disk: fullest(of("node_filesystem_size_bytes").get(name) ?? [], of("node_filesystem_avail_bytes").get(name) ?? []),
      received: sparkOf("received"),
      sent: sparkOf("sent"),
      read: sparkOf("read"),
      written: sparkOf("written"),
      seen_at: cpu.times.at(-1) ?? NaN,
    };
  });
}

type ByHost = Map<string, Series[]>;

function add(hosts: ByHost, series: Series): ByHost {
  const name = series.labels.instance ?? "";
  const found = hosts.get(name);
  if (found) found.push(series);
  else hosts.set(name, [series]);
  return hosts;
}

export function byHost(all: Series[]): ByHost {
  return all.reduce(add, new Map());
}

/** NaN where it has none now. */
function valueAt({ times, values }: Spark, end: number): number {
  return times.at(-1) === end ? (values.at(-1) ?? NaN) : NaN;
}

function spark(found: Series | undefined): Spark {
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
