// Seeded samples and log lines of hosts with spikes whose causes are known: the same every time.
//
//   node host-data.mjs URL [TOKEN]             one host with three spikes, and one that is silent
//   node host-data.mjs URL --fleet [TOKEN]     200 hosts, and one with 3,000 units

import { fileURLToPath } from "node:url";
import { seeded } from "./explore-data.mjs";

export const HOST = "spiky.home.lan";
export const SILENT = "silent-host";
export const CROWDED = "crowded";
export const LONG_UNIT = `a-unit-with-a-name-that-goes-on-${"and-on-".repeat(12)}until-no-row-can-hold-it.service`;
const N_UNITS = 40;
const STEP_S = 15;
const HOUR_S = 3600;

/** What spikes, seconds before now from and to, by whom, and one of its lines then. */
export const SPIKES = [
  { resource: "cpu", from: 3000, to: 2760, unit: "postgresql@15-main.service", line: "checkpoint starting: time" },
  { resource: "disk", from: 2100, to: 1860, unit: "backup.service", line: "archiving /srv/photos" },
  { resource: "memory", from: 2640, to: 2400, unit: "elasticsearch.service", line: "loading shards into the heap" },
  { resource: "swap", from: 1680, to: 1440, unit: "windows-vm.service", line: "balloon inflated" },
  { resource: "network", from: 1200, to: 960, unit: "rsync-offsite.service", line: "sending incremental file list" },
];

const NAMES = ["nginx.service", "sshd.service", "cron.service", LONG_UNIT, ...SPIKES.map((it) => it.unit)];

function unitNames(count) {
  const more = Array.from({ length: count - NAMES.length }, (_, i) => `worker-${String(i).padStart(4, "0")}.service`);
  return [...NAMES, ...more];
}

/** Series as a function of the time before now, summed up where they are counters. */
class Series {
  constructor(now, span_s) {
    this.end = Math.floor(now / 1000 / STEP_S) * STEP_S;
    this.n = Math.floor(span_s / STEP_S) + 1;
    this.times = Array.from({ length: this.n }, (_, i) => this.end - (this.n - 1 - i) * STEP_S);
    this.lines = [];
  }

  gauge(name, labels, at) {
    const values = this.times.map((time) => at(this.end - time));
    this.add(name, labels, values);
  }

  /** `rate` a second. */
  counter(name, labels, rate, start = 1000) {
    let total = start;
    const values = this.times.map((time) => (total += rate(this.end - time) * STEP_S));
    this.add(name, labels, values);
  }

  add(name, labels, values) {
    const timestamps = this.times.map((time) => time * 1000);
    this.lines.push(JSON.stringify({ metric: { __name__: name, ...labels }, values, timestamps }));
  }
}

const during = (before, { from, to }) => before <= from && before > to;
const GB = 1e9;

/** One host with every chart; its spikes are its units' own. */
export function spikyHost(now, seed = 1) {
  const random = seeded(seed);
  const series = new Series(now, HOUR_S);
  const instance = HOST;
  const [cpu, disk, memory, swap, network] = SPIKES;
  host(series, instance, random, {
    cores: (before) => 0.6 + (during(before, cpu) ? 2.1 : 0),
    written: (before) => 2e5 + (during(before, disk) ? 60e6 : 0),
    sent: (before) => 5e4 + (during(before, network) ? 30e6 : 0),
    held: (before) => (during(before, memory) ? 6 * GB : 0),
    swapped: (before) => (during(before, swap) ? 3 * GB : 0),
  });
  for (const [i, unit] of unitNames(N_UNITS).entries()) {
    const own = { instance, unit };
    const noise = () => 0.6 + 0.8 * random();
    const share = (1 + (i % 5)) / 120;
    const rises = (spike, by) => (before) => (unit === spike.unit && during(before, spike) ? by : 0);
    const cores = rises(cpu, 2.05);
    const bytes = rises(disk, 59e6);
    const sent = rises(network, 29.5e6);
    const waits = (before) => (during(before, cpu) && i < 3 ? 0.4 : 0);
    series.counter("unit_cpu_seconds_total", own, (at) => share * noise() + cores(at), 0);
    series.counter("unit_run_queue_wait_seconds_sum", own, (at) => 0.001 * noise() + waits(at), 0);
    series.counter("unit_block_bytes_total", { ...own, device: "sda", operation: "write" }, (at) => 4e3 * noise() + bytes(at), 0);
    series.counter("unit_block_seconds_sum", { ...own, device: "sda", operation: "write" }, (at) => bytes(at) / 70e6, 0);
    series.counter("unit_network_bytes_total", { ...own, direction: "transmit" }, (at) => 1e3 * noise() + sent(at), 0);
    series.counter("unit_network_bytes_total", { ...own, direction: "receive" }, () => 1e3 * noise(), 0);
    const [held, swapped] = [rises(memory, 5.9 * GB), rises(swap, 2.9 * GB)];
    series.gauge("unit_memory_current_bytes", own, (at) => (20 + i) * 4e6 * noise() + held(at));
    series.gauge("unit_memory_swap_bytes", own, (at) => i * 1e6 + swapped(at));
    series.gauge("unit_tasks", own, () => 2 + (i % 9));
    series.counter("unit_restarts_total", own, () => 0, i % 17 === 3 ? 2 : 0);
  }
  series.counter("unit_cpu_seconds_total", { instance, unit: "ssh.service", container: "web-box" }, () => 0.01, 0);
  series.counter("ebpf_peer_transmit_bytes_total", { instance, peer: "203.0.113.7" }, (at) => (during(at, network) ? 29e6 : 100));
  series.counter("ebpf_peer_receive_bytes_total", { instance, peer: "203.0.113.7" }, () => 100);
  series.counter("ebpf_peer_transmit_bytes_total", { instance, peer: "192.168.1.20" }, () => 2e4);
  return series.lines;
}

/** What node_exporter tells of a host. */
function host(series, instance, random, { cores, written, sent, held = () => 0, swapped = () => 0 }) {
  const noise = () => 0.9 + 0.2 * random();
  const own = { instance };
  series.gauge("node_uname_info", { ...own, sysname: "Linux", release: "6.18.1", machine: "x86_64" }, () => 1);
  series.gauge("node_boot_time_seconds", own, () => series.end - 40 * 86_400);
  series.gauge("skep_agent_build_info", { ...own, version: "0.1.0" }, () => 1);
  for (const core of [0, 1, 2, 3]) {
    const of = (mode) => ({ ...own, cpu: String(core), mode });
    series.counter("node_cpu_seconds_total", of("user"), (at) => (0.8 * cores(at) * noise()) / 4);
    series.counter("node_cpu_seconds_total", of("system"), (at) => (0.2 * cores(at) * noise()) / 4);
    series.counter("node_cpu_seconds_total", of("idle"), (at) => Math.max(0, 1 - cores(at) / 4));
  }
  series.gauge("node_load1", own, (at) => cores(at) * noise());
  series.gauge("node_load5", own, (at) => 0.8 * cores(at) * noise());
  series.gauge("node_load15", own, () => 0.7);
  for (const resource of ["cpu", "io", "memory"]) {
    const peak = (at) => (resource === "cpu" ? cores(at) / 6 : resource === "io" ? written(at) / 1e8 : 0.001);
    series.counter(`node_pressure_${resource}_waiting_seconds_total`, own, (at) => peak(at) * noise());
  }
  const memory = { MemTotal: 16, MemFree: 5, MemAvailable: 9, Buffers: 0.4, Cached: 4, SReclaimable: 0.6, SwapTotal: 4, SwapFree: 3.8 };
  /** What is held was free before, or a file's. */
  const taken = { MemFree: (at) => 0.75 * held(at), Cached: (at) => 0.25 * held(at), MemAvailable: held, SwapFree: swapped };
  for (const [name, size] of Object.entries(memory)) {
    series.gauge(`node_memory_${name}_bytes`, own, (at) => size * GB - (taken[name]?.(at) ?? 0));
  }
  const eth0 = { ...own, device: "eth0" };
  series.counter("node_network_receive_bytes_total", eth0, () => 3e4 * noise());
  series.counter("node_network_transmit_bytes_total", eth0, (at) => sent(at) * noise());
  const sda = { ...own, device: "sda" };
  series.counter("node_disk_read_bytes_total", sda, () => 1e5 * noise());
  series.counter("node_disk_written_bytes_total", sda, (at) => written(at) * noise());
  series.counter("node_disk_read_time_seconds_total", sda, () => 0.001);
  series.counter("node_disk_write_time_seconds_total", sda, (at) => written(at) / 68e6);
  series.counter("node_disk_io_time_seconds_total", sda, (at) => Math.min(0.99, written(at) / 68e6));
  series.gauge("node_hwmon_temp_celsius", { ...own, chip: "coretemp", sensor: "temp1" }, (at) => 41 + 9 * cores(at));
  for (const [mountpoint, used] of [["/", 0.62], ["/srv", 0.91], ["/boot", 0.3]]) {
    const of = { ...own, device: `/dev/sda${mountpoint.length}`, mountpoint, fstype: "ext4" };
    series.gauge("node_filesystem_size_bytes", of, () => 400 * GB);
    series.gauge("node_filesystem_avail_bytes", of, () => 400 * GB * (1 - used));
  }
}

/** A host that has sent nothing for six hours. */
export function silentHost(now, seed = 2) {
  const random = seeded(seed);
  const series = new Series(now - 6 * HOUR_S * 1000, HOUR_S);
  host(series, SILENT, random, { cores: () => 0.5, written: () => 1e5, sent: () => 1e5 });
  return series.lines;
}

const N_HOSTS = 200;
const N_CROWD = 3000;

/** 200 hosts with ten minutes each, and a host of 3,000 units. */
export function fleet(now, seed = 3) {
  const random = seeded(seed);
  const series = new Series(now, 600);
  for (let i = 0; i < N_HOSTS; i += 1) {
    const name = `host-${String(i).padStart(3, "0")}`;
    host(series, name, random, { cores: () => 0.1 + 3 * random(), written: () => 1e6, sent: () => 1e6 });
  }
  host(series, CROWDED, random, { cores: () => 2, written: () => 1e6, sent: () => 1e6 });
  for (const [i, unit] of unitNames(N_CROWD).entries()) {
    const own = { instance: CROWDED, unit };
    series.counter("unit_cpu_seconds_total", own, () => 0.002 * random(), 0);
    series.counter("unit_run_queue_wait_seconds_sum", own, () => 0.0001 * random(), 0);
    series.gauge("unit_memory_current_bytes", own, () => 1e6 * (1 + (i % 400)));
    series.gauge("unit_tasks", own, () => 1 + (i % 7));
    series.counter("unit_network_bytes_total", { ...own, direction: "transmit" }, () => 1e3 * random(), 0);
  }
  return series.lines;
}

/** Lines of every unit of the spiky host, more of each spike's cause, and events of the kernel. */
export function lines(now, seed = 4) {
  const random = seeded(seed);
  const streams = new Map();
  const push = (labels, before, text, metadata = {}) => {
    const key = JSON.stringify(labels);
    const stream = streams.get(key) ?? { stream: labels, values: [] };
    streams.set(key, stream);
    const ns = `${Math.floor(now - before * 1000)}${String(stream.values.length).padStart(6, "0")}`;
    stream.values.push([ns, text, metadata]);
  };
  const journal = (unit, level) => ({ job: "systemd-journal", host: HOST, unit, level, transport: "journal" });
  for (const unit of unitNames(N_UNITS)) {
    for (let before = HOUR_S - 60; before > 60; before -= 240) {
      push(journal(unit, "info"), before - 60 * random(), `${unit} is well`);
    }
  }
  const event = (name, unit) => ({ source: "kernel", job: "kernel", event: name, host: HOST, level: name === "oom" ? "crit" : "info", unit });
  for (const { unit, line, from, to } of SPIKES) {
    for (let before = from - 5; before > to; before -= 4) {
      push(journal(unit, before % 20 < 4 ? "warning" : "info"), before, `${line} (${Math.round(from - before)} s)`);
    }
    push(journal(unit, "err"), to + 8, `${line}: failed`);
    const comm = unit.split(/[@.-]/)[0];
    push(event("exec", unit), from - 2, `exec /usr/bin/${comm}`, { comm, filename: `/usr/bin/${comm}`, pid: "77" });
    push(event("exit", unit), to + 2, `${comm} exited`, {
      comm,
      pid: "77",
      cpu_user_seconds: String((from - to) * 1.5),
      cpu_system_seconds: "12.5",
      rss_max_bytes: "734003200",
      exit_code: "0",
    });
  }
  const [cpu] = SPIKES;
  push(event("oom", cpu.unit), cpu.to + 30, "oom kill of postgres", { comm: "postgres", pid: "99" });
  for (const [program, message] of SSH) {
    for (let before = 1500; before > 300; before -= 240) {
      push(journal("ssh.service", "info"), before, message, { SYSLOG_IDENTIFIER: program, _PID: "812" });
    }
  }
  return { streams: [...streams.values()] };
}

/** What sshd and sudo say: five times each. */
const SSH = [
  ["sshd-session", "Accepted publickey for ada from 192.0.2.7 port 40122 ssh2: ED25519 SHA256:x"],
  ["sshd", "Failed password for invalid user admin from 198.51.100.9 port 22022 ssh2"],
  ["sshd", "Connection closed by authenticating user root 2001:db8:0:1:2:3:4:5 port 22023 [preauth]"],
  ["sudo", "     ada : TTY=pts/0 ; PWD=/home/ada ; USER=root ; COMMAND=/usr/bin/apt update"],
];

/** Requests stay below what a server takes at once. */
const LINES_A_REQUEST = 2000;

/** `post(path, content_type, body)` sends to where agents send theirs. */
export async function importAll(post, all) {
  for (let i = 0; i < all.length; i += LINES_A_REQUEST) {
    await post("/api/v1/import", "application/json", all.slice(i, i + LINES_A_REQUEST).join("\n"));
  }
}

export async function fillHost(post, now) {
  await importAll(post, [...spikyHost(now), ...silentHost(now)]);
  await post("/loki/api/v1/push", "application/json", JSON.stringify(lines(now)));
}

export async function fillFleet(post, now) {
  await importAll(post, fleet(now));
}

export function poster(url, token) {
  const authorization = token ? { authorization: `Bearer ${token}` } : {};
  return async (path, type, body) => {
    const headers = { "content-type": type, ...authorization };
    const response = await fetch(new URL(path, url), { method: "POST", headers, body });
    if (!response.ok) throw new Error(`${path}: ${response.status} ${await response.text()}`);
  };
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const words = process.argv.slice(2);
  const isFleet = words.includes("--fleet");
  const [url, token] = words.filter((word) => word !== "--fleet");
  await (isFleet ? fillFleet : fillHost)(poster(url, token), Date.now());
}
