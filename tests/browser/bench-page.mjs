// What the home page costs: the server while it is open, and the person until something is painted.
//
//   cargo xtask bench page                          builds a release server and runs this
//   SKEP_BIN=… node bench-page.mjs [--minutes N] [--loads N]
//
// Ten hosts send a sample of each series every 15 s and a line every second to a server of its own.
// The CPU time of the server's process is read three times over N minutes: with nobody looking,
// with one tab of the home page, and with twenty, all of them in sight; what tabs cost is what they
// add. Then the page is loaded cold, with a profile of its own each time.
import { readFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { feed, N_HOSTS, openHome } from "./home-server.mjs";

const { values: settings } = parseArgs({
  options: { minutes: { type: "string", default: "1" }, loads: { type: "string", default: "15" } },
});
const minutes = Number(settings.minutes);
const n_loads = Number(settings.loads);
if (!(minutes > 0) || !(n_loads >= 1)) {
  throw new Error("--minutes wants a number above 0, --loads one of at least 1");
}

/** Percent of a core that tabs may add, by their number. */
const COST_BARS = [[1, 0.5], [20, 2]];
const PAINT_BAR_MS = 300;
/** Until a page has asked for all that it asks once. */
const SETTLE_MS = 10_000;
/** Of /proc: Linux counts CPU time in hundredths of a second for everybody. */
const TICKS_A_SECOND = 100;

const { home, session, post } = await openHome();
const n_steps = Math.ceil((5 * minutes * 60_000 + 10 * SETTLE_MS) / 15_000);
const endFeed = await feed(post, Date.now(), N_HOSTS, n_steps);
const { browser, context, page } = await session.openSession("/login");
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

await page.getByTestId("host-card").nth(N_HOSTS - 1).waitFor();
await costs();
endFeed();
const state = await context.storageState();
await context.close();
await paints("home page, logged in", "/", state);
await paints("home page, logged out", "/", undefined);
await paints("login form", "/login", undefined);
await browser.close();
await home.stop();

/** Seconds of CPU time so far, of all threads. */
function cpuSeconds() {
  const stat = readFileSync(`/proc/${home.pid}/stat`, "utf8");
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return (Number(fields[11]) + Number(fields[12])) / TICKS_A_SECOND;
}

/** Percent of a core, and requests a second, over the minutes. */
async function measured() {
  await pause(SETTLE_MS);
  let n_requests = 0;
  const count = () => (n_requests += 1);
  context.on("request", count);
  const [cpu_s, started] = [cpuSeconds(), performance.now()];
  await pause(minutes * 60_000);
  const [used_s, took_s] = [cpuSeconds() - cpu_s, (performance.now() - started) / 1000];
  context.off("request", count);
  return { percent: (100 * used_s) / took_s, requests: n_requests / took_s };
}

async function costs() {
  const tabs = [page];
  await page.goto("about:blank");
  const idle = await measured();
  console.log(`nobody looks, ${N_HOSTS} hosts send: ${idle.percent.toFixed(2)} % of a core`);
  for (const [n_tabs, bar] of COST_BARS) {
    while (tabs.length < n_tabs) tabs.push(await context.newPage());
    await Promise.all(tabs.map((tab) => tab.goto(home.url)));
    await Promise.all(tabs.map((tab) => tab.getByTestId("host-card").nth(N_HOSTS - 1).waitFor()));
    const { percent, requests } = await measured();
    const added = percent - idle.percent;
    const rate = `${requests.toFixed(1)} requests a second`;
    told(`home page, ${n_tabs} tab${n_tabs > 1 ? "s" : ""} (${rate})`, added, bar, "% of a core", 2);
  }
}

/** The median of cold loads: no cache, no connection, no session ticket. */
async function paints(name, path, storageState) {
  const times = [];
  for (let i = 0; i < n_loads; i += 1) {
    const cold = await browser.newContext({ ignoreHTTPSErrors: true, viewport: session.DESKTOP, ...(storageState ? { storageState } : {}) });
    const tab = await cold.newPage();
    await tab.goto(home.url + path);
    const painted = () => performance.getEntriesByName("first-contentful-paint")[0]?.startTime;
    times.push(await (await tab.waitForFunction(painted)).jsonValue());
    await cold.close();
  }
  times.sort((a, b) => a - b);
  const median = times[Math.floor(times.length / 2)];
  const range = `${times[0].toFixed(0)} to ${times.at(-1).toFixed(0)}`;
  told(`first contentful paint, ${name} (${n_loads} cold loads, ${range} ms)`, median, PAINT_BAR_MS, "ms", 0);
}

function told(what, figure, bar, unit, digits) {
  console.log(`${what}: ${figure.toFixed(digits)} ${unit} (bar ${bar})`);
  if (figure > bar) process.exitCode = 1;
}
