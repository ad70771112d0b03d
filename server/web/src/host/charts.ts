// The charts of a host and of a unit: a line each, their queries, and what a spike on them is about.
import type { Labels } from "../api/prometheus";
import { axisBytes, axisPercent, degrees, ofSecond, plain, seconds } from "./measures";
import type { ResourceId } from "./resources";
import { DRIVES, gauge, matchers, NICS, rated, windowOf, type Scope } from "./scope";

export interface Query {
  text: (scope: Scope) => string;
  /** Of each series of the answer. */
  name: string | ((labels: Labels) => string);
  /** What a rise of this line is about, if not what the chart is. */
  resource?: ResourceId;
  /** A token, if not the next colour in turn. */
  colour?: string;
  /** The order of several, and a token for each. */
  names?: string[];
  colours?: string[];
}

export interface ChartSpec {
  id: string;
  title: string;
  format: (value: number) => string;
  queries: Query[];
  isStacked?: boolean;
  resource?: ResourceId;
}

/** In the order in which they stand on each other. */
const CPU_MODES = ["user", "nice", "system", "iowait", "irq", "softirq", "steal"];
const MODE_COLOURS = [1, 7, 2, 5, 6, 4, 8].map((n) => `--chart-${n}`);

const device = (labels: Labels) => labels.device ?? "";

function pressure(resource: string, id: ResourceId, colour: string): Query {
  return {
    name: resource === "io" ? "I/O" : resource === "cpu" ? "CPU" : resource,
    colour,
    resource: id,
    text: (scope) => `100 * ${rated(scope, `node_pressure_${resource}_waiting_seconds_total`)}`,
  };
}

const memory = (scope: Scope, name: string) => gauge(scope, `node_memory_${name}_bytes`);

/** The slowest hundredth of what a histogram counted. */
function slowest(scope: Scope, name: string, by: string, more = ""): string {
  return `histogram_quantile(0.99, sum by (le${by}) (${rated(scope, `${name}_bucket`, more)}))`;
}

export const HOST_CHARTS: ChartSpec[] = [
  {
    id: "cpu",
    title: "CPU",
    format: axisPercent,
    isStacked: true,
    resource: "cpu",
    queries: [
      {
        name: ({ mode = "" }) => mode,
        names: CPU_MODES,
        colours: MODE_COLOURS,
        text: (at) =>
          `100 * sum by (mode) (${rated(at, "node_cpu_seconds_total", 'mode!="idle"')}) / on() group_left() count(${rated(at, "node_cpu_seconds_total", 'mode="idle"')})`,
      },
    ],
  },
  {
    id: "memory",
    title: "Memory",
    format: axisBytes,
    isStacked: true,
    resource: "memory",
    queries: [
      {
        name: "used",
        colour: "--chart-1",
        text: (at) =>
          `${memory(at, "MemTotal")} - ${memory(at, "MemFree")} - ${memory(at, "Buffers")} - ${memory(at, "Cached")} - ${memory(at, "SReclaimable")}`,
      },
      { name: "buffers", colour: "--chart-2", text: (at) => memory(at, "Buffers") },
      {
        name: "cached",
        colour: "--chart-3",
        text: (at) => `${memory(at, "Cached")} + ${memory(at, "SReclaimable")}`,
      },
      { name: "free", colour: "--line-strong", text: (at) => memory(at, "MemFree") },
    ],
  },
  {
    id: "pressure",
    title: "Pressure, time waited",
    format: axisPercent,
    resource: "cpu",
    queries: [
      pressure("cpu", "cpu", "--chart-1"),
      pressure("io", "disk", "--chart-5"),
      pressure("memory", "memory", "--chart-2"),
    ],
  },
  {
    id: "load",
    title: "Load and run queue",
    format: plain,
    resource: "cpu",
    queries: [
      { name: "1 min", text: (at) => gauge(at, "node_load1") },
      { name: "5 min", text: (at) => gauge(at, "node_load5") },
      { name: "15 min", text: (at) => gauge(at, "node_load15") },
      {
        name: "waiting for a CPU",
        text: (at) => rated(at, "ebpf_run_queue_wait_seconds_sum"),
      },
    ],
  },
  {
    id: "network",
    title: "Network",
    format: ofSecond,
    resource: "network",
    queries: [
      {
        name: (labels) => `${device(labels)} in`,
        text: (at) => rated(at, "node_network_receive_bytes_total", NICS),
      },
      {
        name: (labels) => `${device(labels)} out`,
        text: (at) => rated(at, "node_network_transmit_bytes_total", NICS),
      },
    ],
  },
  {
    id: "disk",
    title: "Disk I/O",
    format: ofSecond,
    resource: "disk",
    queries: [
      {
        name: (labels) => `${device(labels)} read`,
        text: (at) => rated(at, "node_disk_read_bytes_total", DRIVES),
      },
      {
        name: (labels) => `${device(labels)} written`,
        text: (at) => rated(at, "node_disk_written_bytes_total", DRIVES),
      },
    ],
  },
  {
    id: "busy",
    title: "Disks busy",
    format: axisPercent,
    resource: "busy",
    queries: [
      { name: device, text: (at) => `100 * ${rated(at, "node_disk_io_time_seconds_total", DRIVES)}` },
    ],
  },
  {
    id: "latency",
    title: "Disk latency, slowest 1 %",
    format: seconds,
    resource: "busy",
    queries: [
      {
        name: (labels) => labels.operation ?? "",
        text: (at) =>
          slowest(at, "ebpf_disk_io_seconds", ", operation", 'operation=~"read|write|flush"'),
      },
    ],
  },
  {
    id: "swap",
    title: "Swap in use",
    format: axisBytes,
    resource: "swap",
    queries: [
      {
        name: "used",
        text: (at) => `(${memory(at, "SwapTotal")} > 0) - ${memory(at, "SwapFree")}`,
      },
    ],
  },
  {
    id: "temperature",
    title: "Temperature",
    format: degrees,
    resource: "cpu",
    queries: [
      {
        name: (labels) => [labels.chip, labels.sensor].filter(Boolean).join(" "),
        text: (at) => gauge(at, "node_hwmon_temp_celsius"),
      },
      {
        name: (labels) => [labels.type, labels.zone].filter(Boolean).join(" "),
        text: (at) => gauge(at, "node_thermal_zone_temp"),
      },
    ],
  },
];

export const UNIT_CHARTS: ChartSpec[] = [
  {
    id: "cpu",
    title: "CPU, cores",
    format: plain,
    isStacked: true,
    queries: [
      { name: "user", text: (at) => `sum(${rated(at, "unit_cpu_mode_seconds_total", 'mode="user"')})` },
      { name: "system", text: (at) => `sum(${rated(at, "unit_cpu_mode_seconds_total", 'mode="system"')})` },
      // Kernel programs do not tell modes apart; they count where control groups do not.
      {
        name: "all",
        text: (at) =>
          `sum(${rated(at, "unit_cpu_seconds_total")}) unless sum(${rated(at, "unit_cpu_mode_seconds_total")})`,
      },
    ],
  },
  {
    id: "wait",
    title: "Time waited",
    format: axisPercent,
    queries: [
      { name: "run queue", text: (at) => `100 * sum(${rated(at, "unit_run_queue_wait_seconds_sum")})` },
      {
        name: ({ resource = "" }) => (resource === "memory" ? resource : resource.toUpperCase()),
        text: (at) => `100 * sum by (resource) (${rated(at, "unit_pressure_waiting_seconds_total")})`,
      },
      {
        name: "held back by its quota",
        text: (at) => `100 * sum(${rated(at, "unit_cpu_throttled_seconds_total")}) > 0`,
      },
    ],
  },
  {
    id: "memory",
    title: "Memory",
    format: axisBytes,
    queries: [
      { name: "all", text: (at) => `sum(${gauge(at, "unit_memory_current_bytes")})` },
      { name: "without files", text: (at) => `sum(${gauge(at, "unit_memory_anon_bytes")})` },
      { name: "swapped out", text: (at) => `sum(${gauge(at, "unit_memory_swap_bytes")}) > 0` },
      { name: "limit", colour: "--bad", text: (at) => `sum(${gauge(at, "unit_memory_limit_bytes")})` },
    ],
  },
  {
    id: "disk",
    title: "Disk I/O",
    format: ofSecond,
    queries: [
      {
        name: ({ operation = "" }) => operation,
        text: (at) =>
          `sum by (operation) (${rated(at, "unit_block_bytes_total", 'operation=~"read|write"')}) or sum by (operation) (${rated(at, "unit_io_bytes_total")})`,
      },
    ],
  },
  {
    id: "latency",
    title: "Disk latency, slowest 1 %",
    format: seconds,
    queries: [
      {
        name: ({ operation = "" }) => operation,
        text: (at) => slowest(at, "unit_block_seconds", ", operation", 'operation=~"read|write|flush"'),
      },
      { name: "fsync", text: (at) => slowest(at, "unit_fsync_seconds", "") },
    ],
  },
  {
    id: "network",
    title: "Network",
    format: ofSecond,
    queries: [
      {
        name: ({ direction = "" }) => (direction === "receive" ? "in" : "out"),
        text: (at) => `sum by (direction) (${rated(at, "unit_network_bytes_total")})`,
      },
    ],
  },
  {
    id: "tasks",
    title: "Tasks",
    format: plain,
    queries: [
      { name: "tasks", text: (at) => `sum(${gauge(at, "unit_tasks")})` },
      { name: "limit", colour: "--bad", text: (at) => `sum(${gauge(at, "unit_tasks_limit")})` },
    ],
  },
  {
    id: "events",
    title: "Starts and ends",
    format: plain,
    queries: [
      { name: "programs started", text: (at) => total(at, "unit_process_execs_total") },
      { name: "processes ended", text: (at) => total(at, "unit_process_exits_total") },
      { name: "ended by a signal", text: (at) => `${total(at, "unit_process_fatal_signals_total")} > 0` },
      { name: "restarts", text: (at) => `${total(at, "unit_restarts_total")} > 0` },
      { name: "killed for memory", text: (at) => `${total(at, "unit_oom_kills_total")} > 0` },
    ],
  },
];

function total(scope: Scope, name: string): string {
  return `sum(increase(${name}{${matchers(scope)}}[${windowOf(scope.grid)}s]))`;
}
