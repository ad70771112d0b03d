// The page of a host in a real browser, over hosts whose spikes have known causes. The head of
// session.mjs says what it needs.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { fillHost, HOST, LONG_UNIT, SILENT, SPIKES } from "./host-data.mjs";
import { DESKTOP, isAccessible, isReachable, openSession, PHONE, poster, shoot, shootOnce, url } from "./session.mjs";

const HOUR_S = 3600;

let session;
let page;
/** When the data was made: its spikes lie so many seconds before it. */
let now_s;

before(async () => {
  const now = Date.now();
  now_s = now / 1000;
  await fillHost(await poster(), now);
  session = await openSession();
  page = session.page;
});

after(() => session?.browser.close());

const hook = (name) => page.getByTestId(name);
const chart = (id) => hook(`chart-${id}`);
const cause = () => hook("cause");
const causes = () => cause().getByTestId("cause-unit");
const lines = () => cause().getByTestId("journal-line");
const parameter = (name) => new URL(page.url()).searchParams.get(name);
const hostUrl = (host, query = "") => `${url}/host/${encodeURIComponent(host)}${query}`;
const spikeOf = (resource) => SPIKES.find((it) => it.resource === resource);
const drawn = (id) => chart(id).locator("canvas").waitFor();

/** Each begins at an address of its own, so it can fail alone. */
function step(name, address, run) {
  test(name, async () => {
    try {
      await page.goto(address());
      session.problems.length = 0;
      await run();
    } catch (error) {
      await shootOnce(page, "host-failed");
      throw error;
    }
    assert.deepEqual(session.problems, [], "the browser complained");
  });
}

/** Drags over the time of a spike, as somebody would who sees it. */
async function brush(id, { from, to }) {
  await drawn(id);
  const over = chart(id).locator(".u-over");
  await over.scrollIntoViewIfNeeded();
  const box = await over.boundingBox();
  const age = Date.now() / 1000 - now_s;
  const x = (before) => box.x + box.width * (1 - (before + age) / HOUR_S);
  const y = box.y + box.height / 2;
  await page.mouse.move(x(from + 15), y);
  await page.mouse.down();
  await page.mouse.move(x(to), y, { steps: 4 });
  await page.mouse.up();
}

/** The right unit comes first with nearly all of the rise, and its lines of that time stand beside. */
async function isFound({ unit, line }) {
  const first = causes().first();
  await first.getByText(unit, { exact: true }).waitFor();
  const text = await first.textContent();
  const share = Number(/(\d+) % of the rise/.exec(text)?.[1]);
  assert.ok(share >= 80, `it explains ${share} %: ${text}`);
  await lines().filter({ hasText: line }).first().waitFor();
}

/** As it is seen on a phone, where the panel covers much of the screen. */
async function inSight(name) {
  await page.setViewportSize(PHONE);
  await shootOnce(page, name);
  await page.setViewportSize(DESKTOP);
}

for (const spike of SPIKES) {
  step(`two actions lead from home to the cause of a ${spike.resource} spike and its lines`, () => url, async () => {
    await hook("host-card").getByRole("link", { name: HOST }).click();
    await brush(spike.resource, spike);
    await isFound(spike);
    assert.equal(parameter("cause"), spike.resource);
    await page.reload();
    await isFound(spike);
    if (spike.resource === "network") await cause().getByTestId("peers").getByText("203.0.113.7").waitFor();
    if (spike.resource === "cpu") {
      await cause().getByTestId("waits").getByRole("button", { name: "nginx.service" }).waitFor();
      await cause().getByTestId("programs").getByText("postgresql", { exact: true }).waitFor();
    }
    await isReachable(page, `cause of ${spike.resource}`);
    await isAccessible(page, `cause of ${spike.resource}`);
    await shoot(page, `host-cause-${spike.resource}`);
    await inSight(`host-cause-${spike.resource}-in-sight`);
  });
}

step("a click finds the highest peak without a mark", () => hostUrl(HOST), async () => {
  await drawn("network");
  await chart("network").getByRole("button", { name: "Find cause" }).click();
  await isFound(spikeOf("network"));
});

const marked = ({ from, to, resource }) =>
  `?cause=${resource}&a=${Math.round(now_s - from - 15)}&b=${Math.round(now_s - to)}`;

step("a click on another unit shows its lines, another on the kernel's shows what it killed", () => hostUrl(HOST, marked(spikeOf("cpu"))), async () => {
  await isFound(spikeOf("cpu"));
  await cause().getByTestId("waits").getByRole("button", { name: "nginx.service" }).click();
  await lines().filter({ hasText: "nginx.service is well" }).first().waitFor();
  assert.equal(await lines().filter({ hasText: spikeOf("cpu").line }).count(), 0);
  await cause().getByRole("button", { name: "Kernel" }).click();
  await lines().filter({ hasText: "oom kill of postgres" }).waitFor();
  await page.goBack();
  await lines().filter({ hasText: "nginx.service is well" }).first().waitFor();
});

step("another resource ranks anew, Zoom in narrows the range, Escape closes", () => hostUrl(HOST, marked(spikeOf("cpu"))), async () => {
  await isFound(spikeOf("cpu"));
  await cause().getByRole("button", { name: "Network" }).click();
  await cause().getByTestId("no-rise").or(causes().first()).first().waitFor();
  await cause().getByRole("button", { name: "Zoom in" }).click();
  assert.ok(Number(parameter("to")) > Number(parameter("from")));
  await cause().focus();
  await page.keyboard.press("Escape");
  await cause().waitFor({ state: "detached" });
  assert.equal(parameter("a"), null);
});

step("keys alone mark a span and ask about it", () => hostUrl(HOST), async () => {
  await drawn("cpu");
  await chart("cpu").getByRole("application").focus();
  for (let i = 0; i < 5; i += 1) await page.keyboard.press("Control+ArrowRight");
  for (let i = 0; i < 3; i += 1) await page.keyboard.press("Shift+ArrowRight");
  for (let i = 0; i < 2; i += 1) await page.keyboard.press("Control+Shift+ArrowRight");
  await page.keyboard.press("Enter");
  await cause().waitFor();
  assert.ok(Number(parameter("b")) > Number(parameter("a")));
});

step("keys go to the filter of units and list themselves", () => hostUrl(HOST), async () => {
  await hook("unit-row").first().waitFor();
  await page.keyboard.press("?");
  await page.getByRole("dialog").getByText("filter the units").waitFor();
  await page.keyboard.press("Escape");
  await page.getByRole("dialog").waitFor({ state: "detached" });
  await page.keyboard.press("/");
  await page.keyboard.type("backup");
  await hook("unit-row").first().getByText("backup.service").waitFor();
});

step("the head says what the host is, and every range draws", () => hostUrl(HOST), async () => {
  await hook("host-facts").getByText("4 cores").waitFor();
  await hook("host-facts").getByText("Linux 6.18.1 · x86_64").waitFor();
  for (const range of ["6h", "24h", "7d", "30d", "1y", "1h"]) {
    await page.getByRole("button", { name: range, exact: true }).click();
    await page.waitForFunction(() => !document.querySelector(".metric-chart .stale, .metric-chart.waiting"));
    await drawn("cpu");
    assert.equal(parameter("range"), range);
  }
  // What it does not tell is not there.
  assert.equal(await chart("latency").count(), 0);
  await page.getByRole("region", { name: "File systems" }).getByText("/srv").waitFor();
  await isReachable(page, "host");
  await isAccessible(page, "host");
  await shoot(page, "host");
});

step("SSH logins are told by who and from where", () => hostUrl(HOST), async () => {
  const [cameIn, refused, sudo] = ["came_in", "refused", "sudo"].map((kind) => hook(`ssh-${kind}`));
  await cameIn.getByRole("listitem").filter({ hasText: "ada192.0.2.7publickey5×" }).waitFor();
  await refused.getByRole("listitem").filter({ hasText: "admin198.51.100.95×" }).waitFor();
  await refused.getByRole("listitem").filter({ hasText: "root2001:db8:0:1:2:3:4:55×" }).waitFor();
  await sudo.getByRole("listitem").filter({ hasText: "adaroot5×" }).waitFor();
  await hook("ssh").scrollIntoViewIfNeeded();
  await isAccessible(page, "SSH logins");
  await shoot(page, "host-ssh");
  await inSight("host-ssh-phone");
  await refused.getByRole("link").click();
  await hook("journal-line").filter({ hasText: "invalid user admin" }).first().waitFor();
});

step("units are sorted by any column, filtered, and lead to their own page", () => hostUrl(HOST), async () => {
  const rows = hook("unit-row");
  await rows.first().getByText(spikeOf("cpu").unit).waitFor();
  await hook("units").getByRole("button", { name: "Disk I/O" }).click();
  await rows.first().getByText(spikeOf("disk").unit).waitFor();
  await hook("units").getByRole("button", { name: "Unit" }).click();
  await rows.first().getByText(LONG_UNIT).waitFor();
  await hook("units").getByLabel("Filter units").fill("box ssh");
  await rows.first().getByText("web-box").waitFor();
  assert.equal(await rows.count(), 1);
  await page.reload();
  await rows.first().getByText("web-box").waitFor();
  await hook("units").getByLabel("Filter units").fill("rsync");
  await rows.first().getByRole("link").click();
  await hook("unit-title").getByText(spikeOf("network").unit).waitFor();
  await drawn("network");
  await hook("span-lines").getByTestId("journal-line").first().waitFor();
  await chart("network").getByRole("button", { name: "Show lines" }).click();
  await hook("journal-line").filter({ hasText: spikeOf("network").line }).first().waitFor();
  await isReachable(page, "unit");
  await isAccessible(page, "unit");
  await shoot(page, "unit");
});

step("a unit's long name fits everywhere", () => `${hostUrl(HOST)}/unit/${LONG_UNIT}`, async () => {
  await drawn("cpu");
  await shoot(page, "unit-long");
});

step("a host that went silent says so and shows its last hour", () => hostUrl(SILENT), async () => {
  await hook("host-facts").getByText(/silent for 6 h|silent for 7 h/).waitFor();
  await hook("silent-host").getByRole("link").click();
  await drawn("cpu");
  await isAccessible(page, "silent host");
  await shoot(page, "host-silent");
});

step("a host that nobody knows is told as such", () => hostUrl("nobody.example"), async () => {
  await hook("unknown-host").getByText("nobody.example").waitFor();
  await isAccessible(page, "unknown host");
  await shoot(page, "host-unknown");
});
