// A browser at a running server, logged in: what the tests of single views begin with.
//
// SKEP_URL                    where; without a login form nobody logs in
// SKEP_USER, SKEP_PASSWORD    who
// SKEP_TOKEN                  a token that may write, for the tests' own data
// SKEP_SHOTS                  folder for the screenshots
// SKEP_CHROMIUM               another browser than /usr/bin/chromium
import assert from "node:assert/strict";
import { mkdirSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { chromium, request } from "playwright-core";

export const PHONE = { width: 390, height: 844 };
export const DESKTOP = { width: 1360, height: 900 };
const PATIENCE_MS = 30_000;
const ARGS = [
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];

export const url = process.env.SKEP_URL;
if (!url) throw new Error("SKEP_URL is not set; see the head of session.mjs");
export const shots = process.env.SKEP_SHOTS ?? "screenshots";

/** `problems` gets what the browser complains about. */
export async function openBrowser() {
  mkdirSync(shots, { recursive: true });
  const executablePath = process.env.SKEP_CHROMIUM ?? "/usr/bin/chromium";
  const browser = await chromium.launch({ executablePath, args: ARGS });
  // The CA of a throw-away server is in no trust store; that TLS is right is another test's task.
  // A browser takes no service worker from such a server, and says so.
  const context = await browser.newContext({ ignoreHTTPSErrors: true, serviceWorkers: "block", viewport: DESKTOP });
  const page = await context.newPage();
  page.setDefaultTimeout(PATIENCE_MS);
  const problems = [];
  page.on("pageerror", (error) => problems.push(`uncaught: ${error.message}`));
  page.on("console", (message) => {
    if (message.type() === "error") problems.push(`console: ${message.text()}`);
  });
  return { browser, context, page, problems };
}

/** The same, logged in at `path`. */
export async function openSession(path = "/") {
  const opened = await openBrowser();
  const { page } = opened;
  await page.goto(new URL(path, url).href);
  const form = page.getByTestId("login-user");
  await form.or(page.locator(".topbar")).first().waitFor();
  if (await form.isVisible()) {
    await form.fill(process.env.SKEP_USER ?? "");
    await page.getByTestId("login-password").fill(process.env.SKEP_PASSWORD ?? "");
    await page.getByTestId("login-submit").click();
    await page.locator(".topbar").waitFor();
  }
  return opened;
}

/** Sends what an agent would send. */
export async function poster() {
  const token = process.env.SKEP_TOKEN;
  const extraHTTPHeaders = token ? { authorization: `Bearer ${token}` } : {};
  const api = await request.newContext({ baseURL: url, ignoreHTTPSErrors: true, extraHTTPHeaders });
  return async (path, type, data) => {
    const answer = await api.post(path, { headers: { "content-type": type }, data: Buffer.from(data) });
    assert.ok(answer.ok(), `${path}: ${answer.status()} ${await answer.text()}`);
  };
}

/** Screenshots in light, dark and phone width; nothing may be wider than the screen. */
export async function shoot(page, name) {
  for (const scheme of ["light", "dark"]) {
    await page.emulateMedia({ colorScheme: scheme });
    for (const [width, viewport] of [["wide", DESKTOP], ["phone", PHONE]]) {
      await page.setViewportSize(viewport);
      const overflow = await page.evaluate(
        () => document.documentElement.scrollWidth - document.documentElement.clientWidth,
      );
      assert.ok(overflow <= 0, `${name} is ${overflow} px too wide for ${viewport.width} px`);
      // Charts follow the width with the next frame; a chart that does not is cut off unseen.
      await page.waitForFunction(() =>
        [...document.querySelectorAll("canvas")].every((canvas) => {
          const room = canvas.closest("section").getBoundingClientRect();
          const drawn = canvas.getBoundingClientRect();
          return drawn.left >= room.left && drawn.right <= room.right;
        }),
      );
      await page.screenshot({ path: join(shots, `${name}-${scheme}-${width}.png`), fullPage: true });
    }
  }
  await page.setViewportSize(DESKTOP);
  await page.emulateMedia({ colorScheme: "light" });
}

export async function shootOnce(page, name) {
  await page.screenshot({ path: join(shots, `${name}.png`) });
}

const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

/** axe-core finds nothing wrong, in light and dark. */
export async function isAccessible(page, name) {
  for (const colorScheme of ["light", "dark"]) {
    await page.emulateMedia({ colorScheme });
    await page.evaluate(axe);
    const { violations } = await page.evaluate(() => globalThis.axe.run());
    const told = violations.map(({ id, nodes }) => {
      const where = nodes.slice(0, 3).map((node) => `${node.target}: ${node.failureSummary}`);
      return `${id} (${nodes.length}): ${where.join("\n  ")}`;
    });
    assert.deepEqual(told, [], `${name}, ${colorScheme}`);
  }
  await page.emulateMedia({ colorScheme: "light" });
}

/** More controls than any page has. */
const TABS_MAX = 600;
const CONTROLS =
  "a[href], button:not(:disabled), input:not(:disabled), select:not(:disabled), textarea, summary, [contenteditable=true], [tabindex='0']";

/** The Tab key alone reaches every control that is to be seen, and each shows that it has the focus. */
export async function isReachable(page, name) {
  await page.evaluate(() => {
    document.activeElement?.blur();
    getSelection()?.removeAllRanges();
    scrollTo(0, 0);
  });
  const faint = new Set();
  for (let i = 0; i < TABS_MAX; i += 1) {
    await page.keyboard.press("Tab");
    const at = await page.evaluate(async () => {
      let active = document.activeElement;
      while (active?.shadowRoot?.activeElement) active = active.shadowRoot.activeElement;
      if (!active || active === document.body) return undefined;
      const isBack = "tabbed" in active.dataset;
      active.dataset.tabbed = "";
      const isMarked = (it) => {
        const { outlineStyle, outlineWidth, boxShadow } = getComputedStyle(it);
        return (outlineStyle !== "none" && parseFloat(outlineWidth) > 0) || boxShadow !== "none";
      };
      // An editor's frame shows it for what is written in it.
      const frame = active.closest(".cm-editor") ?? active;
      // It learns of it a little later.
      for (let frames = 0; frames < 60 && frame.matches(".cm-editor:not(.cm-focused)"); frames += 1) {
        await new Promise(requestAnimationFrame);
      }
      return { isBack, text: `${active.tagName} ${active.getAttribute("aria-label") ?? active.textContent}`.slice(0, 60), isMarked: isMarked(active) || isMarked(frame) };
    });
    // After the last comes the window itself, then the first.
    if (at === undefined) continue;
    if (at.isBack) break;
    if (!at.isMarked) faint.add(at.text);
  }
  const missed = await page.evaluate((controls) => {
    const roots = [document, ...[...document.querySelectorAll("*")].flatMap((it) => (it.shadowRoot ? [it.shadowRoot] : []))];
    const all = roots.flatMap((root) => [...root.querySelectorAll(controls)]);
    const isMissed = (it) => !("tabbed" in it.dataset) && it.tabIndex >= 0 && it.checkVisibility({ visibilityProperty: true });
    const found = all.filter(isMissed).map((it) => it.outerHTML.slice(0, 120));
    for (const it of all) delete it.dataset.tabbed;
    return found;
  }, CONTROLS);
  assert.deepEqual(missed, [], `${name}: no Tab reaches these`);
  assert.deepEqual([...faint], [], `${name}: nobody sees that these have the focus`);
}
