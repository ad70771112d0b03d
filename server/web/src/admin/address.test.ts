import assert from "node:assert/strict";
import { test } from "node:test";
import { cardinalityHref, exploreHref, selector } from "./address";

test("a selector quotes what PromQL cannot write bare", () => {
  assert.equal(selector("up", {}), "up");
  assert.equal(selector("up", { host: 'a "b"' }), 'up{host="a \\"b\\""}');
  assert.equal(selector("http.requests", { "a-b": "c" }), '{"http.requests","a-b"="c"}');
});

test("a link to Explore has the query and its times", () => {
  const span = { start_ms: 1000, end_ms: 2000 };
  assert.equal(exploreHref({ language: "promql", query: "up + 1", span }), "/explore?promql=up+%2B+1&from=1000&to=2000");
  const at = { start_ms: 2_000_000, end_ms: 2_000_000 };
  assert.equal(exploreHref({ language: "logql", query: "{}", span: at }), "/explore?logql=%7B%7D&from=200000&to=2000000");
  assert.equal(exploreHref({ language: "sql", query: "SELECT 1" }), undefined);
});

test("the explorer's address says how deep it is", () => {
  assert.equal(cardinalityHref(), "/admin/cardinality");
  assert.equal(cardinalityHref("a b", "c"), "/admin/cardinality?metric=a+b&label=c");
});
