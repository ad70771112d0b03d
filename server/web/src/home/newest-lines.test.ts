import assert from "node:assert/strict";
import { test } from "node:test";
import type { Line } from "../api/loki";
import { journalQuery, merged, NewestLines } from "./newest-lines";

const NOW_MS = 1_790_000_000_000;
const line = (ms: number): Line => ({ key: String(ms).padStart(20, "0"), ms, text: "", labels: {}, metadata: {} });
const abort = new AbortController().signal;

/** A server with a line each second, the newest 100 of a span. */
function server() {
  const asked: number[] = [];
  let now_s = NOW_MS / 1000;
  const linesOf = async (_query: string, start_s: number, end_s: number) => {
    asked.push(end_s - start_s);
    const seconds = Array.from({ length: end_s - start_s }, (_, i) => end_s - 1 - i);
    return seconds.filter((it) => it <= now_s).slice(0, 100).map((it) => line(it * 1000));
  };
  return { asked, linesOf, pass: (seconds: number) => (now_s += seconds) };
}

test("once all lines are asked for, then only what is new, and all again after a minute", async () => {
  const { asked, linesOf, pass } = server();
  const newest = new NewestLines("{}", linesOf);
  await newest.ask(NOW_MS, abort);
  pass(5);
  const lines = await newest.ask(NOW_MS + 5_000, abort);
  assert.deepEqual(asked, [900, 25]);
  assert.equal(lines.length, 100);
  assert.equal(lines[0]?.ms, NOW_MS + 5_000);
  assert.equal(new Set(lines.map((it) => it.key)).size, 100);
  await newest.ask(NOW_MS + 61_000, abort);
  assert.equal(asked[2], 900);
});

test("where few lines come, more of the past is asked for", async () => {
  const asked: number[] = [];
  const few = async (_query: string, start_s: number, end_s: number) => {
    asked.push(end_s - start_s);
    return [line(NOW_MS - 1000)];
  };
  assert.equal((await new NewestLines("{}", few).ask(NOW_MS, abort)).length, 1);
  assert.deepEqual(asked, [900, 21_600]);
});

test("nothing new leaves the list as it is", () => {
  const old = [line(2), line(1)];
  assert.equal(merged(old, [line(2)]), old);
  assert.deepEqual(merged(old, [line(3), line(0)]).map((it) => it.ms), [3, 2, 1, 0]);
});

test("what somebody typed is text, not a pattern", () => {
  assert.equal(journalQuery("", 'a.b"', "error"), '{job="systemd-journal", level=~"error"} |~ "(?i)a\\\\.b\\""');
});
