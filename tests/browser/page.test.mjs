// The page in a real browser, against a running server: log in, see the host, find a line, ask in
// both languages, and leave screenshots of it in light, dark and phone width.
//
// SKEP_URL, SKEP_USER, SKEP_PASSWORD   where and who
// SKEP_HOST                            the host whose card must show a CPU figure
// SKEP_LINE                            a journal line that must be there
// SKEP_SHOTS                           folder for the screenshots
// SKEP_CHROMIUM                        another browser than /usr/bin/chromium
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { isAccessible, isReachable, openBrowser, shoot, shootOnce, url } from "./session.mjs";

const PATIENCE_MS = 60_000;

function setting(name) {
  const value = process.env[name];
  if (!value) throw new Error(`${name} is not set; see the head of page.test.mjs`);
  return value;
}

const user = setting("SKEP_USER");
const password = setting("SKEP_PASSWORD");
const host = setting("SKEP_HOST");
const line = setting("SKEP_LINE");

let problems;
let browser;
let page;

before(async () => {
  ({ browser, page, problems } = await openBrowser());
  page.setDefaultTimeout(PATIENCE_MS);
});

after(async () => {
  await browser?.close();
});

/** A step needs those before it: after the first failure the others would only wait in vain. */
let isBroken = false;
function step(name, run) {
  test(name, async (t) => {
    if (isBroken) return t.skip("a step before it failed");
    try {
      await run();
    } catch (error) {
      isBroken = true;
      await shootOnce(page, "failed");
      throw error;
    }
  });
}

const hook = (name) => page.getByTestId(name);
const hostCard = () =>
  hook("host-card").filter({ has: page.getByTestId("host-name").getByText(host, { exact: true }) });

step("somebody who is not logged in gets the login form, and a wrong password does not help", async () => {
  await page.goto(url);
  await hook("login-user").waitFor();
  await isReachable(page, "login");
  await isAccessible(page, "login");
  await shoot(page, "login");
  await hook("login-user").fill(user);
  await hook("login-password").fill(`${password} but wrong`);
  await hook("login-submit").click();
  await page.getByRole("alert").waitFor();
  // The browser itself reports the 401 of the wrong password.
  problems.length = 0;
  await hook("login-user").fill(user);
  await hook("login-password").fill(password);
  await hook("login-password").press("Enter");
  await hook("host-card").first().waitFor();
});

step("home shows the host with a CPU figure", async () => {
  const cpu = hostCard().getByTestId("host-cpu").filter({ hasText: /\d+(\.\d+)? %/ });
  await cpu.waitFor();
  const figure = Number.parseFloat((await cpu.textContent()) ?? "");
  assert.ok(figure >= 0 && figure <= 100, `the CPU figure is ${figure}`);
});

step("home shows the journal line, and it opens to its fields", async () => {
  const row = hook("journal-line").filter({ hasText: line }).first();
  try {
    await row.waitFor({ timeout: 10_000 });
  } catch {
    // A busy machine pushes it out of the newest hundred: then the filter must find it.
    await page.getByLabel("Lines containing").fill(line);
    await row.waitFor();
  }
  await row.getByRole("button").click();
  // It is the job, and by that the name of the service.
  await row.getByText("systemd-journal", { exact: true }).first().waitFor();
  await shoot(page, "home");
});

step("explore answers in PromQL, as a chart and as a table", async () => {
  await page.getByRole("link", { name: "Explore" }).click();
  // A text area stands in until the editor is there.
  await page.locator('[data-testid="promql-input"].cm-content').waitFor();
  await hook("promql-input").fill("sum by (mode) (rate(node_cpu_seconds_total[1m]))");
  await hook("promql-run").click();
  await hook("promql-result").locator("canvas").waitFor();
  await page.getByRole("button", { name: "Table" }).click();
  await hook("promql-result").getByRole("cell", { name: "idle", exact: true }).waitFor();
  await page.getByRole("button", { name: "Chart" }).click();
  await hook("promql-result").locator("canvas").waitFor();
});

step("explore answers in LogQL", async () => {
  const query = `{job="systemd-journal"} |= ${JSON.stringify(line)}`;
  await hook("logql-input").fill(query);
  await hook("logql-input").press("Control+Enter");
  await hook("logql-result").getByText(line).first().waitFor();
  await shoot(page, "explore");
});

step("the address alone brings back what explore showed", async () => {
  await page.reload();
  await hook("promql-result").locator("canvas").waitFor();
  await hook("logql-result").getByText(line).first().waitFor();
});

step("a query that makes no sense shows the server's own words", async () => {
  assert.deepEqual(problems, [], "the browser complained on the way here");
  await hook("promql-input").fill("sum(((");
  await hook("promql-run").click();
  const alert = hook("promql-result").getByRole("alert");
  await alert.filter({ hasText: "parse error" }).waitFor();
});

step("logging out ends it", async () => {
  await page.getByRole("button", { name: "Log out" }).click();
  await hook("login-user").waitFor();
  await page.goto(url);
  await hook("login-user").waitFor();
});
