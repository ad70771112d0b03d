// The worst frame while 100,000 log lines, 200 hosts and 3,000 units are scrolled, sorted and
// filtered, from Chromium's own trace.
//
//   cargo xtask bench frames           builds a release server and runs this
//   SKEP_BIN=… node frames.mjs [lines|hosts|units …]
//
// Starts a server of its own, sends it the data, and prints for each part what the longest task of
// the page's main thread cost: CPU time, which is the page's own and is held against the bar, and
// wall time, which is longer where other processes want the same cores.
import { fill } from "./explore-data.mjs";
import { openHome } from "./home-server.mjs";
import { CROWDED, fillFleet } from "./host-data.mjs";
import { traced } from "./trace.mjs";

const N_LINES = 100_000;
const BAR_MS = 50;
const PATIENCE_MS = 120_000;
const JOB = "frames";

const { home, session, post } = await openHome();
const { browser, page } = await session.openSession("/login");
const settle = () => page.waitForTimeout(500);

async function wheel(by) {
  for (let i = 0; i < 60; i += 1) {
    await page.mouse.wheel(0, by);
    await page.waitForTimeout(16);
  }
}

async function bar(list) {
  for (let i = 0; i <= 40; i += 1) {
    await list.evaluate((it, share) => (it.scrollTop = share * it.scrollHeight), ((i * 7) / 41) % 1);
    await page.waitForTimeout(16);
  }
}

async function letters(box, text) {
  await box.focus();
  for (const key of text) {
    await page.keyboard.press(key);
    await page.waitForTimeout(80);
  }
  await settle();
  await box.fill("");
  await settle();
}

const list = page.locator(".log-lines .lines");
const rows = page.locator(".unit-table .rows");

const sendFleet = () => fillFleet(post, Date.now());

/** What is sent, what is opened, and what somebody does there. */
const SCENES = {
  lines: {
    send: () => fill(post, Date.now(), N_LINES, JOB),
    open: async () => {
      const parameters = new URLSearchParams({ logql: `{job="${JOB}"}`, lines: String(N_LINES) });
      await page.goto(`${home.url}/explore?${parameters}`);
      const all = new RegExp(`${N_LINES.toLocaleString("en")} lines in`);
      await page.getByTestId("log-note").filter({ hasText: all }).waitFor({ timeout: PATIENCE_MS });
    },
    parts: {
      "100,000 lines: scrolling by the wheel": () => list.hover().then(() => wheel(600)),
      "100,000 lines: scrolling by the bar": () => bar(list),
      "100,000 lines: filtering letter by letter": () => letters(page.getByLabel("Find in these lines"), "request 77"),
      "100,000 lines: wrapping, and scrolling": async () => {
        await page.getByLabel("Wrap").check();
        await list.hover();
        await wheel(900);
        await page.getByLabel("Wrap").uncheck();
      },
    },
  },
  hosts: {
    send: sendFleet,
    open: async () => {
      await page.goto(home.url);
      await page.getByTestId("host-card").nth(200).waitFor({ timeout: PATIENCE_MS });
    },
    parts: {
      "200 hosts: scrolling": () => page.mouse.move(600, 500).then(() => wheel(700)),
      "200 hosts: filtering letter by letter": () => letters(page.getByRole("searchbox").first(), "host-17"),
    },
  },
  units: {
    send: sendFleet,
    open: async () => {
      await page.goto(`${home.url}/host/${CROWDED}?range=15m`);
      await page.getByText("3000 units").waitFor({ timeout: PATIENCE_MS });
      await page.getByTestId("units").scrollIntoViewIfNeeded();
    },
    parts: {
      "3,000 units: scrolling by the wheel": () => rows.hover().then(() => wheel(500)),
      "3,000 units: scrolling by the bar": () => bar(rows),
      "3,000 units: filtering letter by letter": () => letters(page.getByLabel("Filter units"), "worker-29"),
      "3,000 units: sorting": async () => {
        for (const column of ["Memory", "Wait", "Unit", "CPU"]) {
          await page.getByTestId("units").getByRole("button", { name: column }).click();
          await page.waitForTimeout(100);
        }
      },
    },
  },
};

const wanted = process.argv.slice(2);
const unknown = wanted.find((name) => !(name in SCENES));
if (unknown) throw new Error(`no scene is named ${unknown}; there are ${Object.keys(SCENES).join(", ")}`);
let worst_ms = 0;
let sent;
for (const [name, { send, open, parts }] of Object.entries(SCENES)) {
  if (wanted.length > 0 && !wanted.includes(name)) continue;
  if (send !== sent) await send();
  sent = send;
  await open();
  for (const [part, run] of Object.entries(parts)) {
    await settle();
    const { cpu_ms, wall_ms } = await traced(browser, page, run);
    worst_ms = Math.max(worst_ms, cpu_ms);
    const [cpu, wall] = [cpu_ms, wall_ms].map((it) => it.toFixed(1).padStart(6));
    console.log(`${part.padEnd(44)} ${cpu} ms CPU, ${wall} ms wall`);
  }
}
await browser.close();
await home.stop();
console.log(`worst frame: ${worst_ms.toFixed(1)} ms CPU (bar ${BAR_MS} ms)`);
process.exitCode = worst_ms < BAR_MS ? 0 : 1;
