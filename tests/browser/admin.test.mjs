// The admin pages in a real browser, against a running server with an agent: who is there, what is
// stored, why there are so many series, which queries cost, certificates, tokens and logins.
//
// The environment is that of session.mjs, and
// SKEP_HOST    the host of the agent that runs
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { chromium } from "playwright-core";
import { isAccessible, isReachable, openSession, poster, shoot, shootOnce, url } from "./session.mjs";

const HOST = process.env.SKEP_HOST ?? "";
const AWAY = "an-agent-with-a-name-that-goes-on-and-on-until-no-table-can-hold-it.example.home.lan";
const N_BEES = 40;
const HOUR_MS = 3_600_000;

let session;
let page;

before(async () => {
  const post = await poster();
  await post("/api/v1/import", "application/json", agents(Date.now()).join("\n"));
  session = await openSession();
  page = session.page;
});

after(async () => {
  await session?.browser.close();
});

/** Steps follow each other; the browser may complain of nothing in any of them. */
function step(name, run) {
  test(name, async () => {
    try {
      await run();
    } catch (error) {
      if (page) await shootOnce(page, "admin-failed");
      throw error;
    }
    assert.deepEqual(session.problems, [], "the browser complained");
  });
}

/** What agents say of themselves: many that are there, and one that went an hour ago. */
function agents(now) {
  const lines = [];
  const add = (name, labels, timestamps, value) => {
    const metric = { __name__: name, job: "skep-agent", ...labels };
    lines.push(JSON.stringify({ metric, values: timestamps.map(() => value), timestamps }));
  };
  const names = [AWAY, ...Array.from({ length: N_BEES }, (_, i) => `bee-${String(i).padStart(2, "0")}`)];
  for (const instance of names) {
    const end = instance === AWAY ? now - HOUR_MS : now;
    const times = Array.from({ length: 8 }, (_, i) => end - (7 - i) * 15_000);
    add("skep_agent_build_info", { instance, version: "0.1.0" }, times, 1);
    for (const kind of ["metrics", "logs"]) {
      const waiting = instance === "bee-01" ? 30_000_000 : 1_200;
      add("skep_agent_spool_bytes", { instance, kind }, times, waiting);
      add("skep_agent_spool_items", { instance, kind }, times, waiting / 20);
    }
    for (const program of ["exec", "exit", "sched", "tcp_connect"]) {
      const reason = instance === "bee-02" && program !== "exec" ? "attach" : "";
      add("ebpf_program_loaded", { instance, program, reason }, times, reason === "" ? 1 : 0);
    }
  }
  return lines;
}

const panel = (name) => page.getByTestId(name);
const row = (name, text) => panel(name).locator("tbody tr").filter({ hasText: text }).first();
const tab = (name) => page.getByRole("navigation", { name: "Administration" }).getByRole("link", { name, exact: true });

/** Asks as the page does; the status of the answer. */
const ask = (method, path, headers = {}) =>
  page.evaluate(
    async ([method, path, headers]) => (await fetch(path, { method, headers })).status,
    [method, path, headers],
  );

step("an administrator finds the agents, those that are away too", async () => {
  await page.getByRole("link", { name: "Admin", exact: true }).click();
  await row("agents", HOST).getByText("just now").waitFor();
  await row("agents", AWAY).getByText(/^away, 1 h/).waitFor();
  // Hosts of the tests before this one may be among them.
  await panel("agents").getByText(/^\d+ agents, \d+ away$/).waitFor();
  const refused = page.getByRole("button", { name: "kernel programs of bee-02" });
  await refused.focus();
  await page.keyboard.press("Enter");
  await panel("refused-programs").getByText("exit, sched, tcp_connect").waitFor();
  assert.equal(await refused.getAttribute("aria-expanded"), "true");
  await isAccessible(page, "agents");
  await shoot(page, "admin-agents");
});

/** Makes an enrolment by keys alone. */
async function enrol(host) {
  await page.getByRole("button", { name: "Add an agent" }).focus();
  await page.keyboard.press("Enter");
  await page.getByLabel("Name of the host").waitFor();
  await page.keyboard.type(host);
  await page.keyboard.press("Enter");
}

step("an agent is added by a line to paste", async () => {
  await enrol("no host");
  // A name with spaces is none.
  await page.getByRole("dialog").getByRole("alert").waitFor();
  session.problems.length = 0;
  await page.keyboard.press("Escape");
  await page.getByRole("dialog").waitFor({ state: "detached" });
  await enrol("new-bee");
  // This server is known as localhost, by which no other host finds it.
  await panel("no-way-in").getByText("skep-server enrol new-bee").waitFor();
  await isAccessible(page, "no way in");
  await page.keyboard.press("Escape");
  // As a server with a name of its own answers.
  const command = `(d=$(mktemp -d) && curl -fsSk -o "$d/ca" 'https://skep.home.lan/ca.pem' && echo "${"0123456789abcdef".repeat(4)}  $d/ca" | sha256sum -c - >/dev/null && curl -fsS --cacert "$d/ca" -H 'Authorization: Bearer skep_0123456789' -o "$d/i" 'https://skep.home.lan/-/skep/v1/enrol/install.sh?ca=local' && sh "$d/i")`;
  await page.route("**/-/skep/v1/enrolments", async (route) => {
    const answer = await route.fetch();
    assert.equal(answer.status(), 201);
    const { status, data } = await answer.json();
    assert.equal(data.expires_in_s, 3600);
    await route.fulfill({ status: 201, json: { status, data: { ...data, command } } });
  });
  await enrol("new-bee");
  await panel("enrol-line").waitFor();
  assert.equal(await panel("enrol-line").inputValue(), command);
  await isAccessible(page, "the line to paste");
  await shoot(page, "admin-add-agent");
  await page.getByRole("button", { name: "Done" }).press("Enter");
  await page.getByRole("dialog").waitFor({ state: "detached" });
  await page.unrouteAll();
});

step("without any agent it says how to add one", async () => {
  await page.route("**/api/v1/series**", (route) => route.fulfill({ json: { status: "success", data: [] } }));
  await page.reload();
  await panel("agents").getByText("skep-server enrol HOST").waitFor();
  await isAccessible(page, "no agents");
  await shoot(page, "admin-agents-none");
  await page.unrouteAll();
});

step("the server tells of itself, and a spike leads to its lines", async () => {
  await tab("Server").click();
  await page.waitForURL("**/admin/server");
  for (const id of ["taken-in", "query-time", "waiting", "memory", "store-disk"]) {
    await panel(`chart-${id}`).locator("canvas").waitFor();
  }
  await panel("warnings").waitFor();
  await isReachable(page, "server");
  await isAccessible(page, "server");
  await shoot(page, "admin-server");
  await panel("chart-taken-in").getByRole("button", { name: "Show lines" }).click();
  await page.waitForURL((to) => to.pathname === "/explore" && to.searchParams.get("logql") === '{unit="skep-server.service"}');
  await page.goBack();
  await panel("warnings").waitFor();
});

step("storage is told by table, day and metric", async () => {
  assert.equal(await ask("POST", "/-/flush"), 200);
  await tab("Storage").click();
  await page.waitForURL("**/admin/storage");
  await row("tables", "samples of series").getByText(/\d+(\.\d+)? (kB|MB)/).first().waitFor();
  await panel("days").locator("tbody tr").first().waitFor();
  await row("metric-sizes", "node_").waitFor();
  await panel("stream-volumes").locator("tbody tr").first().waitFor();
  const head = panel("tables").getByRole("columnheader", { name: "Size" });
  await head.getByRole("button").press("Enter");
  assert.equal(await head.getAttribute("aria-sort"), "descending");
  await isAccessible(page, "storage");
  await shoot(page, "admin-storage");
});

step("cardinality leads from a metric to its labels, to values, to Explore", async () => {
  await tab("Cardinality").click();
  await page.getByRole("searchbox", { name: "Filter by metric" }).fill("ebpf_program_loaded");
  await isAccessible(page, "cardinality");
  await shoot(page, "admin-cardinality");
  await page.getByRole("link", { name: "ebpf_program_loaded", exact: true }).click();
  await row("cardinality", "program").getByRole("link").click();
  await page.waitForURL(/metric=ebpf_program_loaded&label=program/);
  const link = row("cardinality", "tcp_connect").getByRole("link");
  await link.waitFor();
  await shoot(page, "admin-cardinality-values");
  await link.click();
  await page.waitForURL((to) => to.searchParams.get("promql") === 'ebpf_program_loaded{program="tcp_connect"}');
  await page.goBack();
  await page.goBack();
  await page.goBack();
  await page.getByRole("searchbox", { name: "Filter by metric" }).waitFor();
});

step("queries tell what they cost, and lead to Explore", async () => {
  assert.equal(await ask("GET", "/api/v1/query?query=count(node_load1)+%2B+40"), 200);
  assert.equal(await ask("GET", `/loki/api/v1/query_range?query=${encodeURIComponent('{job="nobody"}')}`), 200);
  assert.equal(await ask("GET", "/api/v1/query?query=sum(("), 400);
  // That is what was wanted; the browser tells of it all the same.
  session.problems.length = 0;
  await tab("Queries").click();
  await page.getByRole("link", { name: "Newest" }).click();
  await row("ended-queries", "sum((").getByText(/parse error/).waitFor();
  const query = row("ended-queries", "count(node_load1) + 40");
  await query.getByText(process.env.SKEP_USER).waitFor();
  await isAccessible(page, "queries");
  await shoot(page, "admin-queries");
  await query.getByRole("link").click();
  await page.waitForURL((to) => to.searchParams.get("promql") === "count(node_load1) + 40");
  await page.goBack();
});

step("a query at work is ended from the page", async () => {
  // Without end, and small: the rows are made batch by batch, and none is kept.
  const sql = "SELECT sum(value % 7) FROM generate_series(1, 1000000000000000)";
  const answer = ask("GET", `/api/v1/sql?query=${encodeURIComponent(sql)}`);
  const running = row("running-queries", "SELECT sum(value % 7)");
  await running.waitFor();
  await shoot(page, "admin-queries-running");
  await running.getByRole("button", { name: "Cancel" }).press("Enter");
  assert.equal(await answer, 499);
  session.problems.length = 0;
  await running.waitFor({ state: "detached" });
  await row("ended-queries", "SELECT sum(value % 7)").getByText("canceled").waitFor();
});

step("certificates tell when they end", async () => {
  await tab("Certificates").click();
  await row("certificates", "local CA").getByText(/^in \d+ (d|h)/).first().waitFor();
  await isAccessible(page, "certificates");
  await shoot(page, "admin-certificates");
});

let token = "";

step("a token is made, shown once, and works", async () => {
  await tab("Access").click();
  await page.getByRole("button", { name: "New token" }).press("Enter");
  await page.getByLabel("Name").fill("for the browser test");
  await page.getByLabel("Name").press("Enter");
  // A name with spaces is none.
  await page.getByRole("dialog").getByRole("alert").waitFor();
  session.problems.length = 0;
  await page.getByLabel("Name").fill("browser-test");
  await isAccessible(page, "new token");
  await shoot(page, "admin-new-token");
  await page.getByRole("button", { name: "Make it" }).press("Space");
  token = await panel("new-token").inputValue();
  assert.ok(token.length > 20, token);
  await page.keyboard.press("Escape");
  await row("tokens", "browser-test").getByText("query").waitFor();
  assert.equal((await page.content()).includes(token), false);
  await row("sessions", "this one").waitFor();
  await isAccessible(page, "access");
  await shoot(page, "admin-access");
});

step("who is no administrator sees none of it", async () => {
  const headers = { authorization: `Bearer ${token}` };
  const browser = await chromium.launch({
    executablePath: process.env.SKEP_CHROMIUM ?? "/usr/bin/chromium",
    args: ["--no-sandbox", "--disable-gpu"],
  });
  const context = await browser.newContext({ ignoreHTTPSErrors: true, serviceWorkers: "block", extraHTTPHeaders: headers });
  const viewer = await context.newPage();
  await viewer.goto(`${url}/explore`);
  await viewer.getByRole("link", { name: "Explore" }).waitFor();
  for (const [path, status] of [
    ["/api/v1/admin/storage", 403],
    ["/api/v1/admin/storage/metrics", 403],
    ["/api/v1/admin/queries", 403],
    ["/-/skep/v1/certificates", 403],
    ["/-/skep/v1/tokens", 403],
    ["/-/skep/v1/me", 200],
  ]) {
    const answer = await context.request.get(`${url}${path}`);
    assert.equal(answer.status(), status, path);
    assert.equal((await answer.json()).status, status === 200 ? "success" : "error", path);
  }
  await viewer.goto(`${url}/admin/storage`);
  await viewer.getByRole("alert").getByText(/lacks the scope admin/).waitFor();
  assert.equal(await viewer.getByRole("link", { name: "Admin", exact: true }).count(), 0);
  await browser.close();
});

step("a revoked token is refused at once", async () => {
  await page.getByRole("button", { name: "Revoke browser-test" }).press("Enter");
  await shoot(page, "admin-revoke");
  await page.getByRole("dialog").getByRole("button", { name: "Revoke" }).press("Enter");
  await row("tokens", "browser-test").waitFor({ state: "detached" });
  const post = async () => (await session.context.request.get(`${url}/api/v1/query?query=1`, {
    headers: { authorization: `Bearer ${token}`, cookie: "" },
  })).status();
  assert.equal(await post(), 401);
});

step("every control of every view is reached by the keyboard alone", async () => {
  await page.goto(`${url}/admin`);
  await row("agents", HOST).waitFor();
  await isReachable(page, "agents");
  for (const [name, id] of VIEWS) {
    await tab(name).focus();
    await page.keyboard.press("Enter");
    await panel(id).locator("tbody tr").first().waitFor();
    await isReachable(page, name);
  }
});

/** Each with one of its panels. */
const VIEWS = [
  ["Storage", "metric-sizes"],
  ["Cardinality", "cardinality"],
  ["Queries", "ended-queries"],
  ["Certificates", "certificates"],
  ["Access", "tokens"],
];
