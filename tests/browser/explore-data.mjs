// Seeded samples and log lines for the tests of Explore: the same numbers every time, up to now.
//
//   node explore-data.mjs URL [N_LINES] [TOKEN]

import { fileURLToPath } from "node:url";

/** A small generator of numbers in [0, 1) (mulberry32): tests must not depend on chance. */
export function seeded(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

export const HOSTS = ["bee-1", "bee-2", "a-host-with-a-name-that-goes-on-and-on.example.home.lan"];
const MODES = ["idle", "iowait", "system", "user"];
const UNITS = ["nginx.service", "postgresql@15-main.service", "backup.service", "sshd.service"];
const LEVELS = ["info", "info", "info", "info", "notice", "warning", "error", "debug"];
const STEP_MS = 15_000;
/** Samples go on after now: a test that takes its time finds the newest, too. */
const AHEAD_MS = 900_000;

/** Lines of VictoriaMetrics' import: CPU seconds of every host from an hour before `now`. */
export function samples(now, seed = 1) {
  const random = seeded(seed);
  const start = Math.floor(now / STEP_MS) * STEP_MS - 3_600_000;
  const count = (3_600_000 + AHEAD_MS) / STEP_MS;
  const timestamps = Array.from({ length: count }, (_, i) => start + i * STEP_MS);
  const lines = HOSTS.flatMap((instance) =>
    MODES.map((mode) => {
      let total = 1000;
      const values = timestamps.map(() => (total += random() * (mode === "idle" ? 14 : 2)));
      const metric = { __name__: "explore_cpu_seconds_total", instance, mode, job: "explore" };
      return JSON.stringify({ metric, values, timestamps });
    }),
  );
  return lines.join("\n");
}

/** A push of `count` lines, evenly over `span_ms` before `now`. */
export function logs(now, count, { span_ms = 3_000_000, seed = 2, job = "explore" } = {}) {
  const random = seeded(seed);
  const pick = (all) => all[Math.floor(random() * all.length)];
  const streams = new Map();
  for (let i = 0; i < count; i += 1) {
    const labels = { job, host: pick(HOSTS), unit: pick(UNITS), level: pick(LEVELS) };
    const key = JSON.stringify(labels);
    const stream = streams.get(key) ?? { stream: labels, values: [] };
    streams.set(key, stream);
    const ms = now - span_ms + (span_ms * i) / count;
    const ns = `${Math.floor(ms)}${String(i % 1_000_000).padStart(6, "0")}`;
    stream.values.push([ns, text(i, random, pick), { _PID: String(1000 + (i % 50)) }]);
  }
  return { streams: [...streams.values()] };
}

function text(i, random, pick) {
  const status = pick([200, 200, 200, 304, 404, 500]);
  const took = (random() * 900).toFixed(1);
  switch (i % 5) {
    case 0:
      return `level=info method=GET path=/shop/${i % 97} status=${status} took=${took}ms request ${i}`;
    case 1:
      return JSON.stringify({ message: `order ${i} stored`, status, took: Number(took), user: { id: i % 31 } });
    case 2:
      return `\u001b[32mOK\u001b[0m job ${i} finished, \u001b[1;31m${i % 3} failures\u001b[0m`;
    case 3:
      return `request ${i}: connection reset by peer ${"while reading the response header ".repeat(1 + (i % 4))}`;
    default:
      return `request ${i} from 192.168.1.${i % 255} served in ${took} ms`;
  }
}

const LINES_A_PUSH = 20_000;

/** `post(path, content_type, body)` sends; both kinds of data go to where agents send theirs. */
export async function fill(post, now, n_lines, job = "explore") {
  await post("/api/v1/import", "application/json", samples(now));
  for (let sent = 0; sent < n_lines; sent += LINES_A_PUSH) {
    const count = Math.min(LINES_A_PUSH, n_lines - sent);
    const span_ms = 3_000_000 / Math.ceil(n_lines / LINES_A_PUSH);
    const end = now - (3_000_000 * sent) / n_lines;
    const body = JSON.stringify(logs(end, count, { span_ms, seed: 2 + sent, job }));
    await post("/loki/api/v1/push", "application/json", body);
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const [url, n_lines = "2000", token] = process.argv.slice(2);
  const authorization = token ? { authorization: `Bearer ${token}` } : {};
  await fill(
    async (path, type, body) => {
      const headers = { "content-type": type, ...authorization };
      const response = await fetch(new URL(path, url), { method: "POST", headers, body });
      if (!response.ok) throw new Error(`${path}: ${response.status} ${await response.text()}`);
    },
    Date.now(),
    Number(n_lines),
  );
}
