// Made-up answers of the server for `npm run dev`; never part of a build.
import type { Plugin } from "vite";

type Labels = Record<string, string>;

const HOSTS = [
  "lab1",
  "nas",
  "a-host-with-a-name-that-goes-on-and-on-until-no-card-can-hold-it.example.home.lan",
  "silent",
];
const BOOTED = 1_700_000_000;

/** `SKEP_MOCK=empty` has no host and no line, `SKEP_MOCK=away` does not answer. */
export function mock(): Plugin {
  return {
    name: "skep-mock",
    configureServer(server) {
      server.middlewares.use((request, response, next) => {
        const url = new URL(request.url ?? "/", "http://localhost");
        if (!/^\/(api|loki)\//.test(url.pathname)) return next();
        if (process.env.SKEP_MOCK === "away") {
          response.statusCode = 502;
          return response.end("bad gateway");
        }
        const [status, body] = answer(url);
        response.statusCode = status;
        response.setHeader("content-type", "application/json");
        response.end(JSON.stringify(body));
      });
    },
  };
}

function answer(url: URL): [number, unknown] {
  const query = url.searchParams.get("query") ?? "";
  if (query.includes("(((")) {
    const error = 'invalid parameter "query": 1:6: parse error: unclosed left parenthesis';
    return [400, { status: "error", errorType: "bad_data", error }];
  }
  const isEmpty = process.env.SKEP_MOCK === "empty";
  const names = isEmpty ? undefined : named(url.pathname);
  if (names) return [200, names];
  if (url.pathname.startsWith("/loki/")) return [200, logs(query, isEmpty)];
  const isRange = url.pathname.endsWith("query_range");
  const at = (name: string) => Number(url.searchParams.get(name));
  const now = Date.now() / 1000;
  const [start, end, step] = isRange ? [at("start"), at("end"), at("step")] : [now, now, 1];
  const result = (isEmpty ? [] : query.split(" or ").flatMap(figures)).map(([labels, value]) => {
    const points: [number, string][] = [];
    const isGone = labels.instance === "silent" && !query.includes("last_over_time");
    const until = isGone ? now - 400 : now;
    for (let t = start; t <= Math.min(end, until); t += step) points.push([t, String(value(t))]);
    return isRange ? { metric: labels, values: points } : { metric: labels, value: points[0] };
  });
  const found = result.filter((row) => (row.values ? row.values.length > 0 : row.value));
  const resultType = isRange ? "matrix" : "vector";
  return [200, { status: "success", data: { resultType, result: found } }];
}

/** What the editors and the list of fields ask for. */
function named(path: string): unknown {
  const isLoki = path.startsWith("/loki/");
  const data = (all: unknown) => ({ status: "success", data: all });
  if (path.endsWith("/labels") && !path.endsWith("detected_labels")) {
    return data(isLoki ? ["job", "host", "unit", "level"] : ["__name__", "instance", "mode", "cpu"]);
  }
  if (path.endsWith("/__name__/values")) return data(["node_cpu_seconds_total", "node_load1"]);
  if (path.includes("/label/")) return data(["one", "another"]);
  if (path.endsWith("/metadata") || path.endsWith("/flags")) return data({});
  if (path.endsWith("/series")) return data([{ __name__: "node_load1", instance: HOSTS[0] }]);
  if (path.endsWith("/detected_labels")) {
    return { detectedLabels: [{ label: "unit", cardinality: 7 }, { label: "level", cardinality: 6 }] };
  }
  if (path.endsWith("/detected_fields")) {
    return { fields: [{ label: "status", type: "int", cardinality: 3, parsers: ["logfmt"] }] };
  }
  return undefined;
}

function wave(seed: number, low: number, high: number) {
  return (t: number) => {
    const x = Math.sin(t / 90 + seed) + Math.sin(t / 37 + seed * 2) + Math.sin(t / 11 + seed * 5) / 2;
    return low + ((high - low) * (x + 2.5)) / 5;
  };
}

type Wave = [Labels, (t: number) => number];

/** Of each name of a list of names, or with the label that `label_replace` gives. */
function figures(query: string): Wave[] {
  const names = /__name__=~"([^"]+)"/.exec(query)?.[1]?.split("|");
  if (names) return names.flatMap((name) => series(name).map(([labels, at]): Wave => [{ ...labels, __name__: name }, at]));
  const [, inner = query, figure] = /label_replace\((.*), "figure", "(\w+)"/.exec(query) ?? [];
  return series(inner).map(([labels, at]): Wave => [figure ? { ...labels, figure } : labels, at]);
}

function series(query: string): Wave[] {
  const each = (make: (i: number, name: string) => Wave) =>
    HOSTS.map((name, i) => make(i, name));
  if (query.includes("node_uname_info")) {
    const system = { sysname: "Linux", release: "6.18.4-1-amd64", machine: "x86_64" };
    return each((_, instance) => [{ __name__: "node_uname_info", instance, ...system }, () => 1]);
  }
  if (query.startsWith("count")) return each((i, instance) => [{ instance }, () => 2 ** (i + 1)]);
  if (query.startsWith("100")) return each((i, instance) => [{ instance }, wave(i, 2, 30 + 20 * i)]);
  if (query.includes("network_receive")) return each((i, instance) => [{ instance }, wave(i, 0, 2e6)]);
  if (query.includes("network_trans")) return each((i, instance) => [{ instance }, wave(i + 3, 0, 3e5)]);
  if (query.includes("node_load1")) return each((i, instance) => [{ __name__: "node_load1", instance }, wave(i, 0, 3)]);
  if (query.includes("boot_time")) return each((i, instance) => [{ instance }, () => BOOTED + i * 1e7]);
  if (query.includes("MemAvailable")) {
    return each((i, instance) => [{ __name__: "node_memory_MemAvailable_bytes", instance }, () => (4 - i) * 1e9]);
  }
  if (query.includes("MemTotal")) return each((_, instance) => [{ instance }, () => 8.2e9]);
  if (query.includes("filesystem_")) {
    const free = [300e9, 55e9, 4e9, 100e9];
    const disk = { device: "/dev/sda1", fstype: "ext4", mountpoint: "/srv/some/very/long/mount/point" };
    const value = (i: number) => () => (query.includes("avail") ? (free[i] ?? 0) : 500e9);
    return each((i, instance) => [{ instance, ...disk }, value(i)]);
  }
  if (query.includes("unit_cpu")) {
    const units = ["nginx.service", "postgresql@15-main.service", "skep-server.service", "cron.service"];
    const slow = units.map((unit, i): Wave => [
      { unit, instance: "lab1" },
      () => 1.2 / 3 ** i,
    ]);
    return [...slow, [{ unit: "a-unit-of-an-unreasonable-length.service", instance: HOSTS[2] ?? "" }, () => 0.001]];
  }
  if (query === "nothing") return [];
  return ["idle", "iowait", "system", "user", "softirq"].map((mode, i) => [
    { __name__: "node_cpu_seconds_total", mode, cpu: "0", instance: "lab1" },
    wave(i, i / 10, 1 + i),
  ]);
}

const LINES: [string, string, string][] = [
  ["nginx.service", "info", '192.168.1.20 - - "GET /index.html HTTP/2.0" 200 5316'],
  ["sshd.service", "info", "Accepted publickey for ada from 192.168.1.4 port 50122 ssh2"],
  ["kernel", "warning", "EXT4-fs (sda1): warning: mounting fs with errors, running e2fsck is recommended"],
  ["postgresql@15-main.service", "error", "FATAL: password authentication failed for user \"web\" ".repeat(6)],
  ["skep-server.service", "debug", "flushed 14233 rows in 41 ms"],
  ["backup.service", "crit", "no space left on device: /srv/backup"],
  ["init.scope", "notice", "Started nginx.service - A high performance web server."],
];

function logs(query: string, isEmpty: boolean) {
  const now = Date.now();
  if (query.includes("rate(") || query.includes("count_over_time")) {
    const at = (t: number): [number, string] => [Math.round(now / 1000) - 3600 + t * 15, String(t % 17)];
    const values = Array.from({ length: 240 }, (_, t) => at(t));
    return { status: "success", data: { resultType: "matrix", result: [{ metric: { unit: "nginx.service" }, values }] } };
  }
  const result = Array.from({ length: isEmpty ? 0 : 60 }, (_, i) => {
    const [unit, level, text] = LINES[i % LINES.length] ?? ["", "", ""];
    const stream = { job: "systemd-journal", host: HOSTS[i % 3] ?? "", unit, level, transport: "journal" };
    const metadata = { _PID: String(4000 + i), _EXE: "/usr/bin/thing", _CMDLINE: "thing --with --flags" };
    return { stream, values: [[`${now - i * 1700}000000`, text, metadata]] };
  });
  return { status: "success", data: { resultType: "streams", result } };
}
