// What frames cost, from Chromium's own trace.
import { readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** Until what was begun is drawn. */
const SETTLE_MS = 500;

/** The longest task of the page's main thread meanwhile. */
export async function traced(browser, page, run) {
  const path = join(tmpdir(), `skep-frames-${process.pid}.json`);
  const categories = ["toplevel", "devtools.timeline", "disabled-by-default-devtools.timeline"];
  await browser.startTracing(page, { path, categories });
  await run();
  await page.waitForTimeout(SETTLE_MS);
  await browser.stopTracing();
  const { traceEvents } = JSON.parse(readFileSync(path, "utf8"));
  rmSync(path);
  return longestTask(traceEvents);
}

function longestTask(events) {
  const isMain = (it) => it.name === "thread_name" && it.args?.name === "CrRendererMain";
  const mains = new Set(events.filter(isMain).map((it) => `${it.pid} ${it.tid}`));
  const tasks = events.filter(
    (it) => it.name.endsWith("RunTask") && mains.has(`${it.pid} ${it.tid}`) && it.tdur !== undefined,
  );
  if (tasks.length === 0) throw new Error("the trace has no task of the page's main thread");
  const most = (name) => Math.max(...tasks.map((it) => it[name])) / 1000;
  return { cpu_ms: most("tdur"), wall_ms: most("dur") };
}
