import assert from "node:assert/strict";
import { test } from "node:test";
import { linesOf, nsOf } from "../api/loki";
import { loadLines, type Ask, type Loaded, type Order } from "./load-lines";

/** A server with a line each microsecond but for a crowd of twenty at the 700th. */
function serving(count: number): { ask: Ask; n_asked: () => number } {
  const values: [string, string][] = [];
  for (let i = 0; i < count; i += 1) {
    const ns = 1_790_000_000_000_000_000n + BigInt(i >= 700 && i < 720 ? 700 : i) * 1000n;
    values.push([String(ns), `line ${i}`]);
  }
  const all = linesOf([{ stream: { job: "x" }, values }]);
  let n_asked = 0;
  const ask: Ask = async ([start, end], limit, order) => {
    n_asked += 1;
    const within = all.filter((line) => nsOf(line) >= start && nsOf(line) < end);
    const lines = order === "newest" ? within.slice(0, limit) : within.slice(-limit);
    return { type: "lines", lines, work: { lines: lines.length, bytes: 0 } };
  };
  return { ask, n_asked: () => n_asked };
}

const SPAN: [bigint, bigint] = [0n, 2n ** 62n];

async function load(count: number, wanted: number, order: Order = "newest") {
  const { ask, n_asked } = serving(count);
  const parts: number[] = [];
  const all = await loadLines(ask, SPAN, wanted, order, (part) => parts.push(part.lines.length));
  return { ...(all as Loaded), parts, n_asked: n_asked() };
}

for (const order of ["newest", "oldest"] as const) {
  test(`every line comes once, the ${order} first, over the borders of pages`, async () => {
    const { lines, isAll, parts } = await load(12_000, 100_000, order);
    assert.equal(lines.length, 12_000);
    assert.equal(new Set(lines.map((line) => line.key)).size, 12_000);
    assert.ok(isAll && parts.length >= 2 && parts[0] === 500);
    const times = lines.map(nsOf);
    const sorted = times.toSorted((a, b) => Number(order === "newest" ? b - a : a - b));
    assert.deepEqual(times, sorted);
  });
}

test("no more lines are loaded than wanted, and few in one request", async () => {
  const { lines, isAll, n_asked } = await load(12_000, 1_000);
  assert.deepEqual([lines.length, isAll, n_asked], [1_000, false, 1]);
  assert.equal((await load(12_000, 7_000)).lines.length, 7_000);
});

test("a server that allows fewer lines in an answer is asked more often", async () => {
  const { ask } = serving(3_000);
  const strict: Ask = (span, limit, order) => {
    if (limit <= 1_000) return ask(span, limit, order);
    throw new Error(`max entries limit per query exceeded, limit > max_entries_limit_per_query (${limit} > 1000)`);
  };
  const all = await loadLines(strict, SPAN, 5_000, "newest", () => {});
  assert.equal((all as Loaded).lines.length, 3_000);
});

test("an empty range has all of its lines", async () => {
  const { lines, isAll } = await load(0, 1_000);
  assert.deepEqual([lines.length, isAll], [0, true]);
});
