// Explore in a real browser, over data of its own: both editors, charts, lines and what hangs on
// them. The head of session.mjs says what it needs.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { after, before, test } from "node:test";
import { fill } from "./explore-data.mjs";
import { DESKTOP, isAccessible, isReachable, openSession, PHONE, poster, shoot, shootOnce, url } from "./session.mjs";

const CPU = "sum by (mode) (rate(explore_cpu_seconds_total[1m]))";
const LINES = '{job="explore"} |= "request"';
const N_LINES = 3_000;

let session;
let page;
let post;

before(async () => {
  post = await poster();
  await fill(post, Date.now(), N_LINES);
  session = await openSession();
  page = session.page;
});

after(() => session?.browser.close());

const hook = (name) => page.getByTestId(name);
const metrics = () => page.getByRole("region", { name: "Metrics", exact: true });
const logs = () => page.getByRole("region", { name: "Logs", exact: true });
const rows = () => logs().getByTestId("journal-line");
const rowButton = (i) => rows().nth(i).getByRole("button").first();
const parameter = (name) => new URL(page.url()).searchParams.get(name);

/** A step begins at an address of its own, so each can fail alone. */
function step(name, parameters, run) {
  test(name, async () => {
    try {
      await page.goto(`${url}/explore?${new URLSearchParams(parameters)}`);
      await page.locator('[data-testid="promql-input"].cm-content').waitFor();
      await page.locator('[data-testid="logql-input"].cm-content').waitFor();
      session.problems.length = 0;
      await run();
    } catch (error) {
      await shootOnce(page, "explore-failed");
      throw error;
    } finally {
      await page.unrouteAll({ behavior: "ignoreErrors" });
    }
    assert.deepEqual(session.problems, [], "the browser complained");
  });
}

step("PromQL completes metrics, labels and values, by keyboard alone", {}, async () => {
  await hook("promql-input").focus();
  await page.keyboard.type("explore_c");
  await page.getByRole("option", { name: "explore_cpu_seconds_total" }).waitFor();
  // The list takes no key at once, lest it takes one that was meant for the text.
  await page.waitForTimeout(150);
  await page.keyboard.press("Enter");
  await page.keyboard.type("{mo");
  await page.getByRole("option", { name: "mode" }).first().waitFor();
  await page.waitForTimeout(150);
  await page.keyboard.press("Tab");
  await page.keyboard.type('="sys');
  await page.getByRole("option", { name: "system" }).first().waitFor();
  await page.waitForTimeout(150);
  await page.keyboard.press("Enter");
  await page.keyboard.press("Shift+Enter");
  await hook("promql-result").locator("canvas").waitFor();
  assert.match(parameter("promql"), /^explore_cpu_seconds_total\{mode="system"/);
});

step("LogQL completes labels, values, stages and fields", {}, async () => {
  await hook("logql-input").focus();
  await page.keyboard.type("{jo");
  await page.getByRole("option", { name: "job", exact: true }).waitFor();
  await page.waitForTimeout(150);
  await page.keyboard.press("Enter");
  await page.keyboard.type('="expl');
  await page.getByRole("option", { name: "explore", exact: true }).waitFor();
  await page.waitForTimeout(150);
  await page.keyboard.press("Enter");
  await page.keyboard.press("End");
  await page.keyboard.type(" | logf");
  await page.getByRole("option", { name: /^logfmt/ }).waitFor();
  await page.waitForTimeout(150);
  await page.keyboard.press("Enter");
  await page.keyboard.type(" | meth");
  await page.getByRole("option", { name: /^method/ }).waitFor();
  await page.keyboard.press("Escape");
  await page.keyboard.type('od="GET"');
  await page.keyboard.press("Control+Enter");
  await rows().first().waitFor();
  assert.equal(parameter("logql"), '{job="explore"} | logfmt | method="GET"');
});

step("what is no query is marked where it goes wrong, in the server's words", {}, async () => {
  await hook("promql-input").pressSequentially("sum(rate(up[5m]) by (job");
  await page.keyboard.press("Escape");
  await page.keyboard.press("Shift+Enter");
  await hook("promql-result").getByRole("alert").filter({ hasText: "parse error" }).waitFor();
  await page.locator(".cm-lintRange-error").first().waitFor();
  await hook("logql-input").pressSequentially('{job="explore"} | nonsense(');
  await page.keyboard.press("Escape");
  await page.keyboard.press("Shift+Enter");
  await hook("logql-result").getByRole("alert").filter({ hasText: "parse error" }).waitFor();
  await shoot(page, "explore-errors");
  session.problems.length = 0;
});

step("a chart zooms where it is marked, and the back button leads out again", { promql: CPU }, async () => {
  const plot = hook("promql-result").locator(".u-over");
  const { x, y, width } = await plot.boundingBox();
  await page.mouse.move(x + width * 0.3, y + 40);
  await page.mouse.down();
  await page.mouse.move(x + width * 0.6, y + 40, { steps: 5 });
  await page.mouse.up();
  await page.waitForURL(/from=\d+&to=\d+/);
  const span_ms = Number(parameter("to")) - Number(parameter("from"));
  assert.ok(Math.abs(span_ms - 0.3 * 3_600_000) < 200_000, `${span_ms} ms`);
  await page.goBack();
  await page.waitForURL((it) => !it.searchParams.has("from"));
  await page.getByRole("button", { name: "Zoom out" }).click();
  await page.waitForURL(/from=\d+&to=\d+/);
});

step("keys alone zoom a chart", { promql: CPU }, async () => {
  const chart = hook("promql-result").getByRole("application");
  await chart.focus();
  for (let i = 0; i < 3; i += 1) await page.keyboard.press("Control+ArrowRight");
  for (let i = 0; i < 2; i += 1) await page.keyboard.press("Control+Shift+ArrowRight");
  await page.keyboard.press("Enter");
  await page.waitForURL(/from=\d+&to=\d+/);
  const span_ms = Number(parameter("to")) - Number(parameter("from"));
  assert.ok(span_ms > 0 && span_ms < 3_600_000, `${span_ms} ms`);
});

step("series are a table that sorts, and an explanation", { promql: CPU, view: "table" }, async () => {
  const cells = () => hook("promql-result").locator("tbody tr td:first-child").allTextContents();
  await hook("promql-result").getByRole("cell", { name: "idle", exact: true }).waitFor();
  await hook("promql-result").getByRole("button", { name: "mode" }).click();
  assert.deepEqual(await cells(), ["idle", "iowait", "system", "user"]);
  await hook("promql-result").getByRole("button", { name: "mode" }).click();
  assert.deepEqual(await cells(), ["user", "system", "iowait", "idle"]);
  await metrics().getByRole("button", { name: "Explain" }).click();
  await metrics().getByLabel("Explanation").filter({ hasText: "SeriesWindowExec" }).waitFor();
});

/** The text of the file that a choice of an Export menu saves. */
async function exported(region, choice) {
  await region.getByText("Export", { exact: true }).click();
  const [download] = await Promise.all([
    page.waitForEvent("download"),
    region.getByRole("button", { name: choice, exact: true }).click(),
  ]);
  return readFileSync(await download.path(), "utf8");
}

step("series and lines are saved as files", { promql: CPU, logql: LINES }, async () => {
  await hook("promql-result").locator("canvas").waitFor();
  const csv = await exported(metrics(), "CSV");
  assert.match(csv, /^time,mode,value\r\n\d{4}-\d\d-\d\dT[\d:.]+Z,idle,[\d.]+\r\n/);
  assert.equal(JSON.parse(await exported(metrics(), "JSON")).length, 4);
  await rows().first().waitFor();
  assert.equal((await exported(logs(), "Text")).trim().split("\n").length, 1_000);
  assert.match(await exported(logs(), "CSV"), /^time,_PID,/);
  assert.equal(JSON.parse(await exported(logs(), "JSON"))[0].labels.job, "explore");
});

step("lines have their volume, and a field goes into the query", { logql: LINES, fields: "1" }, async () => {
  await hook("log-volume").getByText("error").waitFor();
  await logs().getByLabel("Fields", { exact: true }).getByRole("button", { name: /^host/ }).click();
  await logs().getByRole("button", { name: "Only lines where host is bee-1" }).first().click();
  await page.waitForURL((it) => it.searchParams.get("logql").includes('host="bee-1"'));
  assert.equal(parameter("logql"), '{job="explore", host="bee-1"} |= "request"');
  // The lines of before stay until the others are there.
  await page.waitForFunction(() =>
    [...document.querySelectorAll(".log-lines .from")].every((it) => it.textContent.startsWith("bee-1 ")),
  );
  await rowButton(0).click();
  await rows().first().getByRole("button", { name: /^No lines where _PID is/ }).click();
  await page.waitForURL((it) => it.searchParams.get("logql").includes("| _PID!="));
  await rows().first().waitFor();
  await shoot(page, "explore-logs");
});

step("lines are found among those that are there, and marked", { logql: '{job="explore"}' }, async () => {
  await page.getByLabel("Find in these lines").fill("REQUEST 2999");
  await hook("log-note").filter({ hasText: /^\d of the newest 1,000 lines/ }).waitFor();
  assert.equal(await rows().first().locator("mark").textContent(), "request 2999");
});

step("all lines of a long answer come page by page", { logql: '{job="explore"}', lines: "10000" }, async () => {
  await page.locator('[data-testid="logql-result"][aria-busy="false"]').waitFor();
  await rowButton(0).focus();
  await page.keyboard.press("End");
  await page.waitForFunction(() => {
    const place = document.activeElement?.parentElement?.getAttribute("aria-posinset");
    return place && place === document.activeElement.parentElement.getAttribute("aria-setsize");
  });
  await page.keyboard.press("Enter");
  await rows().last().locator(".fields").waitFor();
});

step("a line shows what its stream said before and after it", { logql: LINES }, async () => {
  await rowButton(10).click();
  const text = await rows().nth(10).locator(".text").textContent();
  await rows().nth(10).getByRole("button", { name: "Lines around it" }).click();
  const dialog = page.getByRole("dialog", { name: "Lines around it" });
  await dialog.locator(".marked").filter({ hasText: text }).waitFor();
  assert.ok((await dialog.getByTestId("journal-line").count()) > 10);
  await isAccessible(page, "context");
  await shoot(page, "explore-context");
  await page.keyboard.press("Escape");
  await dialog.waitFor({ state: "hidden" });
});

step("a live tail shows a line just sent, and holds still in a pause", { logql: '{job="explore-tail"}' }, async () => {
  const send = async (text) => {
    const values = [[`${Date.now()}000000`, text]];
    const body = { streams: [{ stream: { job: "explore-tail", level: "info" }, values }] };
    await post("/loki/api/v1/push", "application/json", JSON.stringify(body));
  };
  const word = `tail-${Date.now()}`;
  await send(`${word} before`);
  await page.getByRole("button", { name: "Live tail" }).click();
  await hook("tail").getByText("Live", { exact: true }).waitFor();
  await send(`${word} first`);
  await hook("tail").getByText(`${word} first`).waitFor();
  await hook("tail").getByRole("button", { name: "Pause" }).click();
  await send(`${word} second`);
  await hook("tail").getByText("1 line waiting").waitFor();
  assert.equal(await hook("tail").getByText(`${word} second`).count(), 0);
  await shoot(page, "explore-tail");
  await hook("tail").getByRole("button", { name: "Go on" }).click();
  await hook("tail").getByText(`${word} second`).waitFor();
});

step("a query under way is cancelled", {}, async () => {
  // It never answers; the browser tells that nobody waits any more.
  await page.route("**/api/v1/query_range**", () => new Promise(() => {}));
  const ended = page.waitForEvent("requestfailed", (it) => it.url().includes("query_range"));
  await hook("promql-input").fill(CPU);
  await hook("promql-run").click();
  await metrics().getByText("Running…").waitFor();
  await metrics().getByRole("button", { name: "Cancel" }).click();
  await hook("promql-run").waitFor();
  await ended;
});

step("queries that were run are kept, starred and run again", { promql: CPU }, async () => {
  await hook("promql-result").locator("canvas").waitFor();
  for (const name of ["count", "min"]) {
    await hook("promql-input").focus();
    await page.keyboard.press("Control+A");
    await page.keyboard.press("Delete");
    await page.keyboard.type(`${name}(explore_cpu_seconds_total)`);
    await page.keyboard.press("Escape");
    await page.keyboard.press("Shift+Enter");
    await page.waitForURL((it) => it.searchParams.get("promql").startsWith(name));
  }
  await metrics().getByRole("button", { name: "History" }).click();
  await page.getByLabel("Search the history").fill("total COUNT");
  const dialog = page.getByRole("dialog");
  await dialog.getByRole("button", { name: "Star: count(explore_cpu_seconds_total)" }).click();
  await isAccessible(page, "history");
  await shoot(page, "explore-history");
  await dialog.getByTitle("Run it again").click();
  await page.waitForURL(/promql=count/);
});

test("what is typed while the editor comes is not lost", async () => {
  const tab = await session.context.newPage();
  let release;
  const held = new Promise((resolve) => (release = resolve));
  // The editor's code comes in the middle of the typing, wherever that is.
  await tab.route("**/assets/editor-*.js", (route) => held.then(() => route.fallback()));
  await tab.goto(`${url}/explore`);
  const area = tab.locator('textarea[data-testid="promql-input"]');
  await area.focus();
  const text = "node_load1 and node_load5 or node_load15 unless node_boot_time_seconds";
  await tab.keyboard.type(text.slice(0, 20), { delay: 5 });
  release();
  await tab.keyboard.type(text.slice(20, 60), { delay: 25 });
  const editor = tab.locator('[data-testid="promql-input"].cm-content');
  await editor.waitFor();
  await tab.keyboard.type(text.slice(60), { delay: 5 });
  assert.equal(await editor.textContent(), text);
  await tab.close();
});

step("a range is typed as it is thought", {}, async () => {
  await page.getByRole("button", { name: "Custom" }).click();
  const apply = () => page.getByRole("button", { name: "Apply" }).click();
  await page.getByLabel("From").fill("soon");
  await apply();
  await page.getByRole("alert").getByText("“soon” is no time").waitFor();
  await isAccessible(page, "range");
  await shoot(page, "explore-range");
  await page.getByLabel("From").fill("now-90m");
  await page.keyboard.press("Enter");
  await page.waitForURL((it) => it.searchParams.get("range") === "90m");
  await page.getByLabel("From").fill("now-2h");
  await page.getByLabel("to", { exact: true }).fill("now-1h");
  await apply();
  await page.waitForURL((it) => it.searchParams.has("from"));
  assert.equal(Number(parameter("to")) - Number(parameter("from")), 3_600_000);
});

step("several queries stand below each other, and one goes away", { promql: CPU }, async () => {
  await hook("promql-result").locator("canvas").waitFor();
  await metrics().getByRole("button", { name: "Add query" }).click();
  const second = page.getByRole("region", { name: "Metrics 2" });
  await second.locator(".cm-content").fill("count(explore_cpu_seconds_total)");
  await second.locator(".cm-content").press("Escape");
  await second.getByTestId("promql-run").click();
  await second.getByTestId("promql-result").locator("canvas").waitFor();
  assert.equal(parameter("promql2"), "count(explore_cpu_seconds_total)");
  await logs().getByRole("button", { name: "Add query" }).click();
  const other = page.getByRole("region", { name: "Logs 2" });
  await other.locator(".cm-content").fill(LINES);
  await other.locator(".cm-content").press("Escape");
  await other.getByTestId("logql-run").click();
  await other.getByTestId("journal-line").first().waitFor();
  await isAccessible(page, "several queries");
  await shoot(page, "explore-several");
  await page.getByRole("region", { name: "Metrics", exact: true }).getByRole("button", { name: "Remove" }).click();
  await page.waitForURL((it) => it.searchParams.get("promql").startsWith("count("));
  await second.waitFor({ state: "detached" });
  assert.equal(parameter("promql2"), null);
  assert.equal(parameter("logql2"), LINES);
});

step("a finger that goes sideways marks a span", { promql: CPU }, async () => {
  await page.setViewportSize(PHONE);
  const plot = hook("promql-result").locator(".u-over");
  await plot.scrollIntoViewIfNeeded();
  const { x, y, width } = await plot.boundingBox();
  const cdp = await session.context.newCDPSession(page);
  const touch = (type, at) =>
    cdp.send("Input.dispatchTouchEvent", { type, touchPoints: at === undefined ? [] : [{ x: x + width * at, y: y + 40 }] });
  await cdp.send("Emulation.setTouchEmulationEnabled", { enabled: true });
  await touch("touchStart", 0.3);
  for (const at of [0.35, 0.45, 0.55, 0.6]) await touch("touchMove", at);
  await touch("touchEnd");
  await page.waitForURL(/from=\d+&to=\d+/);
  await cdp.send("Emulation.setTouchEmulationEnabled", { enabled: false });
  await cdp.detach();
  const span_ms = Number(parameter("to")) - Number(parameter("from"));
  assert.ok(Math.abs(span_ms - 0.3 * 3_600_000) < 400_000, `${span_ms} ms`);
  await page.setViewportSize(DESKTOP);
});

step("keys lead through Explore, and a link is shared", { promql: CPU, logql: LINES }, async () => {
  await rows().first().waitFor();
  await page.locator("body").press("[");
  await page.waitForURL(/from=/);
  await page.keyboard.press("?");
  await page.getByRole("dialog", { name: "Keys" }).waitFor();
  await page.keyboard.press("Escape");
  await page.getByRole("dialog", { name: "Keys" }).waitFor({ state: "hidden" });
  await session.context.grantPermissions(["clipboard-read", "clipboard-write"]);
  await page.getByRole("button", { name: "Copy link" }).click();
  await page.getByRole("button", { name: "Copied" }).waitFor();
  const link = new URL(await page.evaluate(() => navigator.clipboard.readText()));
  assert.equal(link.searchParams.get("promql"), CPU);
  assert.ok(link.searchParams.get("from"));
});

step("nothing keeps anybody out", { promql: CPU, logql: LINES, fields: "1" }, async () => {
  await hook("promql-result").locator("canvas").waitFor();
  await hook("log-volume").getByText("error").waitFor();
  await rowButton(2).click();
  await logs().getByLabel("Fields", { exact: true }).getByRole("button", { name: /^level/ }).first().click();
  await logs().getByRole("button", { name: /^Only lines where level is/ }).first().waitFor();
  await isReachable(page, "explore");
  await isAccessible(page, "explore");
  await shoot(page, "explore-all");
});

step("an empty answer says so", { promql: "nothing_has_this_name", logql: '{job="nobody"}' }, async () => {
  await hook("promql-result").getByText("No series for this query").waitFor();
  await hook("logql-result").getByText("No line fits in this range").waitFor();
  await isAccessible(page, "empty");
  await shoot(page, "explore-empty");
});
