import assert from "node:assert/strict";
import { test } from "node:test";
import { added, found, read, removed, starred, type Past } from "./history";

const queries = (all: Past[]) => all.map((it) => it.query);

test("a query that is run again moves to the top and keeps its star", () => {
  let all = added(added([], "promql", "up", 1), "promql", "sum(up)", 2);
  all = starred(all, all[1] as Past);
  all = added(all, "promql", "up", 3);
  assert.deepEqual(queries(all), ["up", "sum(up)"]);
  assert.deepEqual([all[0]?.isStarred, all[0]?.at], [true, 3]);
  assert.deepEqual(queries(added(all, "logql", "up", 4)), ["up", "up", "sum(up)"]);
});

test("old queries go, starred ones stay", () => {
  let all = added([], "promql", "first", 0);
  all = starred(all, all[0] as Past);
  for (let i = 1; i <= 300; i += 1) all = added(all, "promql", `q${i}`, i);
  assert.equal(all.length, 201);
  assert.equal(all.at(-1)?.query, "first");
  assert.equal(removed(all, all.at(-1) as Past).length, 200);
});

test("every word must be there, in any order; starred ones come first", () => {
  let all = added(added([], "promql", "rate(node_cpu[5m])", 1), "promql", "node_load1", 2);
  assert.deepEqual(queries(found(all, "promql", "CPU rate")), ["rate(node_cpu[5m])"]);
  all = starred(all, all[1] as Past);
  assert.deepEqual(queries(found(all, "promql", "")), ["rate(node_cpu[5m])", "node_load1"]);
  assert.deepEqual(found(all, "logql", ""), []);
});

test("what is not a history is none", () => {
  for (const text of [null, "", "{", "7", '[{"query":1}]']) assert.deepEqual(read(text), []);
});
