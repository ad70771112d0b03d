// A server of its own for the tests of the home page: its configuration, little services to check,
// and ten hosts with an hour of samples, the same every time.
import { execFileSync, spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { seeded } from "./explore-data.mjs";

export const USER = "ada";
export const PASSWORD = "a password for the test";
const TOKEN = "a-token-for-the-test";
const PATIENCE_MS = 60_000;

/** `url`, `file` and `text` of the home page, `pid`, `serverFile` and `serverText` of the server. */
async function startHome(fileOf = homeFile) {
  const bin = process.env.SKEP_BIN;
  if (!bin) throw new Error("SKEP_BIN is not set; it names the skep-server to start");
  const dir = mkdtempSync(join(tmpdir(), "skep-home-"));
  const { server: services, port } = await listen();
  const text = fileOf(port);
  const file = join(dir, "home.toml");
  writeFileSync(file, text);
  const hash = execFileSync(bin, ["hash-password"], { input: PASSWORD }).toString().trim();
  const serverText = serverFile(dir, hash);
  writeFileSync(join(dir, "server.toml"), serverText);
  const ready = join(dir, "ready.json");
  const child = spawn(bin, ["run", "--config", join(dir, "server.toml"), "--ready-file", ready], {
    stdio: ["ignore", "ignore", "inherit"],
    env: { ...process.env, RUST_LOG: "error" },
  });
  const deadline = Date.now() + PATIENCE_MS;
  while (!existsSync(ready)) {
    if (Date.now() > deadline || child.exitCode !== null) throw new Error("the server did not start");
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  const found = JSON.parse(readFileSync(ready, "utf8"));
  const url = found.url.replace("127.0.0.1", "localhost");
  return {
    url: url.replace(/\/$/, ""),
    token: TOKEN,
    file,
    text,
    servicePort: port,
    serverFile: join(dir, "server.toml"),
    serverText,
    pid: child.pid,
    fill: (post) => fill(post, Date.now()),
    stop: async () => {
      const gone = new Promise((resolve) => child.once("exit", resolve));
      child.kill();
      await gone;
      services.close();
      rmSync(dir, { recursive: true, force: true });
    },
  };
}

/** Such a server, the session at it (its settings are read as it is imported), and what sends to it. */
export async function openHome(fileOf) {
  const home = await startHome(fileOf);
  process.env.SKEP_URL = home.url;
  process.env.SKEP_TOKEN = home.token;
  process.env.SKEP_USER = USER;
  process.env.SKEP_PASSWORD = PASSWORD;
  const session = await import("./session.mjs");
  return { home, session, post: await session.poster() };
}

function serverFile(dir, hash) {
  return `data_dir = "${join(dir, "data")}"
[front]
https = ["127.0.0.1:0"]
[home]
file = "home.toml"
public = true
[[users]]
name = "${USER}"
password_hash = "${hash}"
[[tokens]]
name = "test"
sha256 = "${createHash("sha256").update(TOKEN).digest("hex")}"
scopes = ["ingest", "query"]
[[sites]]
hosts = ["photos.skep.localhost"]
routes = [{ respond = { status = 200 } }]
[[sites]]
hosts = ["git.skep.localhost"]
access = "viewer"
routes = [{ respond = { status = 200 } }]
`;
}

/** One of everything, with names that want to break out. */
function homeFile(port) {
  const at = `http://127.0.0.1:${port}`;
  return `title = "Home of Ada"
[[groups]]
name = "Services"
services = [
  { name = "Open service", href = "${at}/up", description = "Films and series", interval = "2s" },
  { name = "Flaky service", href = "${at}/up?flaky", icon = "database", interval = "2s" },
  { name = "Broken service", href = "${at}/broken", icon = "code", interval = "2s" },
  { name = "Private service", href = "${at}/up?private", private = true, interval = "2s" },
  { name = "<img src=x onerror=alert(1)>", href = "${at}/up?markup", check = "off" },
  { name = "A service with a name that goes on and on until no tile can hold it", href = "${at}/up?long", description = "and a description that goes on and on until no tile can hold it, either", interval = "2s" },
]
[[groups]]
name = "Vault"
private = true
services = [{ name = "Passwords", href = "${at}/up?vault", interval = "2s" }]
[[bookmarks]]
name = "Read"
links = [
  { name = "GitHub", href = "https://github.com/", abbr = "GH" },
  { name = "News", href = "https://news.example.org/", description = "every day" },
]
[[bookmarks]]
name = "Mine"
private = true
links = [{ name = "Secret link", href = "https://secret.example.org/" }]
[[search]]
name = "The web"
url = "${at}/search?q={query}"
[[widgets]]
name = "Rooms"
promql = "avg(room_temperature_celsius)"
suffix = " °C"
curve = true
[[widgets]]
name = "Solar"
json = "${at}/json"
path = "power.now"
format = "number"
scale = 0.001
suffix = " kW"
[[widgets]]
name = "Gone"
json = "${at}/broken"
path = "a"
[found]
hide = ["hidden.service"]
`;
}

function listen() {
  const server = createServer((request, response) => {
    const isBroken = request.url.startsWith("/broken");
    response.statusCode = isBroken ? 500 : 200;
    const isJson = request.url.startsWith("/json");
    response.setHeader("content-type", isJson ? "application/json" : "text/html");
    response.end(isJson ? '{"power": {"now": 3204}}' : "<title>a service</title><p>here");
  });
  return new Promise((resolve) => {
    server.listen(0, "127.0.0.1", () => resolve({ server, port: server.address().port }));
  });
}

export const N_HOSTS = 10;
const STEP_MS = 15_000;

const SERVICES = ["Open service", "Flaky service"].map((service) => ({ group: "Services", service }));

/** Hosts, units and the last day of services. */
export async function fill(post, now, n_hosts = N_HOSTS, services = SERVICES) {
  await send(post, series(now, n_hosts, { services }));
}

async function send(post, rows) {
  await post("/api/v1/import", "application/json", rows.map((it) => JSON.stringify(it)).join("\n"));
}

/** Hosts that go on: a sample of each series every 15 s, a line of each host every second. */
export async function feed(post, now, n_hosts, n_steps) {
  const rows = series(now, n_hosts, { n_ahead: n_steps });
  const cut = (isWanted) =>
    rows.flatMap(({ metric, values, timestamps }) => {
      const kept = timestamps.flatMap((at, i) => (isWanted(at) ? [i] : []));
      const of = (all) => kept.map((i) => all[i]);
      return kept.length === 0 ? [] : [{ metric, values: of(values), timestamps: of(timestamps) }];
    });
  const last = { sent: now };
  await send(post, cut((at) => at <= now));
  const timer = setInterval(async () => {
    const until = Date.now();
    const since = last.sent;
    last.sent = until;
    try {
      const due = cut((at) => at > since && at <= until);
      if (due.length > 0) await send(post, due);
      await post("/loki/api/v1/push", "application/json", JSON.stringify(lines(until, n_hosts)));
    } catch (error) {
      console.error(error);
      process.exitCode = 1;
    }
  }, 1_000);
  return () => clearInterval(timer);
}

/** A push of a line of each host. */
export function lines(now, n_hosts) {
  const streams = hostNames(n_hosts).map((host, i) => {
    const stream = { job: "systemd-journal", host, unit: "nginx.service", level: "info" };
    return { stream, values: [[`${now}${String(i).padStart(6, "0")}`, `GET /shop/${now % 97} 200 in ${now % 31} ms`]] };
  });
  return { streams };
}

const hostNames = (n_hosts) => Array.from({ length: n_hosts }, (_, i) => `bee-${String(i).padStart(2, "0")}`);

function series(now, n_hosts, { seed = 7, n_ahead = 0, services = SERVICES } = {}) {
  const random = seeded(seed);
  const end = Math.floor(now / STEP_MS) * STEP_MS;
  const times = (n, step) => Array.from({ length: n }, (_, i) => end - (n - 1 - i) * step);
  const rows = [];
  const add = (name, labels, timestamps, value) => {
    const values = timestamps.map((_, i) => value(i));
    rows.push({ metric: { __name__: name, ...labels }, values, timestamps });
  };
  const minutes = times(80 + n_ahead, STEP_MS).map((at) => at + n_ahead * STEP_MS);
  for (const [i, instance] of hostNames(n_hosts).entries()) {
    const gauge = (name, labels, value) => add(name, { instance, ...labels }, minutes, value);
    gauge("node_uname_info", { sysname: "Linux", release: "6.18.4", machine: "x86_64" }, () => 1);
    gauge("node_load1", {}, () => Number((random() * 3).toFixed(2)));
    gauge("node_boot_time_seconds", {}, () => 1_790_000_000 - i * 86_400);
    gauge("node_memory_MemTotal_bytes", {}, () => 16e9);
    gauge("node_memory_MemAvailable_bytes", {}, () => Math.round(4e9 + random() * 8e9));
    gauge("node_hwmon_temp_celsius", { chip: "cpu", sensor: "temp1" }, () => Math.round(40 + random() * 30));
    const disk = { device: "/dev/sda1", fstype: "ext4", mountpoint: "/" };
    gauge("node_filesystem_size_bytes", disk, () => 500e9);
    gauge("node_filesystem_avail_bytes", disk, () => 500e9 / (i + 2));
    const counter = (name, labels, rate) => {
      let total = 1e6;
      gauge(name, labels, () => Math.round((total += rate() * 15) * 100) / 100);
    };
    for (const cpu of ["0", "1", "2", "3"]) {
      counter("node_cpu_seconds_total", { cpu, mode: "idle" }, () => 0.4 + random() * 0.5);
      counter("node_cpu_seconds_total", { cpu, mode: "user" }, () => random() * 0.3);
    }
    counter("node_network_receive_bytes_total", { device: "eth0" }, () => random() * 1e6);
    counter("node_network_transmit_bytes_total", { device: "eth0" }, () => random() * 1e5);
    counter("node_disk_read_bytes_total", { device: "sda" }, () => random() * 1e6);
    counter("node_disk_written_bytes_total", { device: "sda" }, () => random() * 1e6);
    for (const unit of ["nginx.service", "sshd.service", "hidden.service"]) {
      gauge("unit_listening_sockets", { unit, protocol: "tcp" }, () => 2);
      gauge("unit_listening_port", { unit, protocol: "tcp", port: unit === "sshd.service" ? "22" : "443" }, () => 1);
      counter("unit_cpu_seconds_total", { unit }, () => random() * 0.1);
    }
  }
  const day = times(288, 300_000);
  for (const labels of services) {
    const isDown = (i) => labels.service === "Flaky service" && i % 90 < 4;
    add("skep_service_up", labels, day, (i) => (isDown(i) ? 0 : 1));
    add("skep_service_response_seconds", labels, day, (i) => 0.01 + 0.008 * Math.sin(i / 20) + random() * 0.004);
  }
  add("room_temperature_celsius", { room: "study" }, day, () => 21.5);
  return rows;
}
