// What a host can run short of: who uses it, who has to wait for it, and how it is told.
import type { Span } from "../chart/selection";
import { bytes } from "../ui/format";
import { cores, ofSecond } from "./measures";
import { DRIVES, matchers, NICS } from "./scope";

export const RESOURCE_IDS = ["cpu", "disk", "busy", "network", "memory", "swap"] as const;
export type ResourceId = (typeof RESOURCE_IDS)[number];

export interface Resource {
  title: string;
  format: (value: number) => string;
  /** Use of each unit, by `unit` and `container`, over a span that ends when it is asked. */
  uses: (host: string, seconds: number) => string;
  /** Use of the whole host, in the same measure. */
  host: (host: string, seconds: number) => string;
  /** Seconds a second in which each unit had to wait for it. */
  waits?: (host: string, seconds: number) => string;
  waiting: string;
}

const BY_UNIT = "sum by (unit, container)";
/** A unit that was not there for so long begins anew to be counted. */
const ABSENT = "15m";

/** Kernel programs count a unit from zero: all of a counter that is new came in the span. */
function counted(name: string, host: string, seconds: number, more = ""): string {
  const selector = `${name}{${matchers({ host }, more)}}`;
  const fresh = `(last_over_time(${selector}[${seconds}s]) unless last_over_time(${selector}[${ABSENT}] offset ${seconds}s))`;
  return `${BY_UNIT} (${fresh} or increase(${selector}[${seconds}s])) / ${seconds}`;
}

/** Files of control groups tell a unit's whole life, so a new counter says nothing of the span. */
function rate(name: string, host: string, seconds: number, more = ""): string {
  return `${BY_UNIT} (rate(${name}{${matchers({ host }, more)}}[${seconds}s]))`;
}

const ofHost = (name: string, host: string, seconds: number, more: string) =>
  `sum(rate(${name}{${matchers({ host }, more)}}[${seconds}s]))`;

/** On average: it is there or not, and no rate tells that. */
const held = (name: string, host: string, seconds: number) =>
  `${BY_UNIT} (avg_over_time(${name}{${matchers({ host })}}[${seconds}s]))`;

const ofMemory = (what: string, host: string, seconds: number) =>
  `sum(avg_over_time(node_memory_${what}_bytes{${matchers({ host })}}[${seconds}s]))`;

const pressure = (resource: string) => (host: string, seconds: number) =>
  rate("unit_pressure_waiting_seconds_total", host, seconds, `resource="${resource}"`);

export const RESOURCES: Record<ResourceId, Resource> = {
  cpu: {
    title: "CPU",
    format: cores,
    uses: (host, seconds) =>
      `${counted("unit_cpu_seconds_total", host, seconds)} or ${rate("unit_cpu_mode_seconds_total", host, seconds)}`,
    host: (host, seconds) =>
      ofHost("node_cpu_seconds_total", host, seconds, 'mode!~"idle|iowait|steal"'),
    waits: (host, seconds) =>
      `${counted("unit_run_queue_wait_seconds_sum", host, seconds)} or ${pressure("cpu")(host, seconds)}`,
    waiting: "Waited for a CPU",
  },
  disk: {
    title: "Disk I/O",
    format: ofSecond,
    uses: (host, seconds) =>
      `${counted("unit_block_bytes_total", host, seconds)} or ${rate("unit_io_bytes_total", host, seconds)}`,
    host: (host, seconds) =>
      `${ofHost("node_disk_read_bytes_total", host, seconds, DRIVES)} + ${ofHost("node_disk_written_bytes_total", host, seconds, DRIVES)}`,
    waits: pressure("io"),
    waiting: "Waited for I/O",
  },
  busy: {
    title: "Disk time",
    format: (value) => `${(100 * value).toFixed(value < 0.1 ? 1 : 0)} % of a disk`,
    uses: (host, seconds) => counted("unit_block_seconds_sum", host, seconds),
    host: (host, seconds) =>
      `${ofHost("node_disk_read_time_seconds_total", host, seconds, DRIVES)} + ${ofHost("node_disk_write_time_seconds_total", host, seconds, DRIVES)}`,
    waits: pressure("io"),
    waiting: "Waited for I/O",
  },
  network: {
    title: "Network",
    format: ofSecond,
    uses: (host, seconds) => counted("unit_network_bytes_total", host, seconds),
    host: (host, seconds) =>
      `${ofHost("node_network_receive_bytes_total", host, seconds, NICS)} + ${ofHost("node_network_transmit_bytes_total", host, seconds, NICS)}`,
    waiting: "",
  },
  memory: {
    title: "Memory",
    format: bytes,
    uses: (host, seconds) => held("unit_memory_current_bytes", host, seconds),
    host: (host, seconds) =>
      `${ofMemory("MemTotal", host, seconds)} - ${ofMemory("MemAvailable", host, seconds)}`,
    waits: pressure("memory"),
    waiting: "Waited for memory",
  },
  swap: {
    title: "Swap",
    format: bytes,
    uses: (host, seconds) => held("unit_memory_swap_bytes", host, seconds),
    host: (host, seconds) =>
      `${ofMemory("SwapTotal", host, seconds)} - ${ofMemory("SwapFree", host, seconds)}`,
    waits: pressure("memory"),
    waiting: "Waited for memory",
  },
};

/** Bytes a second with each other host. */
export function peersQuery(host: string, seconds: number): string {
  const of = (name: string) =>
    `sum by (peer) (rate(${name}{${matchers({ host })}}[${seconds}s]))`;
  const [received, sent] = [of("ebpf_peer_receive_bytes_total"), of("ebpf_peer_transmit_bytes_total")];
  return `(${received} + ${sent}) or ${received} or ${sent}`;
}

/** The span before it, just as long. */
export function before({ from, to }: Span): Span {
  return { from: from - (to - from), to: from };
}

export function resourceOf(text: string | null): ResourceId | undefined {
  return RESOURCE_IDS.find((id) => id === text);
}
