import assert from "node:assert/strict";
import { test } from "node:test";
import { situationAt, type Situation } from "./logql-complete";

/** The situation at `^`, which is not part of the text. */
function at(marked: string): Situation {
  const place = marked.indexOf("^");
  return situationAt(marked.replace("^", ""), place);
}

test("a query begins with a selector or a function", () => {
  assert.deepEqual(at("^"), { kind: "start", from: 0 });
  assert.deepEqual(at("ra^"), { kind: "start", from: 0 });
  assert.deepEqual(at("sum(ra^"), { kind: "start", from: 4 });
  assert.deepEqual(at('rate({a="b"}[5m]) / ^'), { kind: "start", from: 20 });
});

test("names of labels, told with the matchers that are there", () => {
  assert.deepEqual(at("{^}"), { kind: "label", selector: "{}", from: 1 });
  assert.deepEqual(at("{jo^"), { kind: "label", selector: "{}", from: 1 });
  assert.deepEqual(at('{job="x", un^'), { kind: "label", selector: '{job="x"}', from: 10 });
});

test("values of a label, quoted or not yet", () => {
  const value = { kind: "value", label: "unit", selector: '{job="x"}' };
  assert.deepEqual(at('{job="x", unit=^'), { ...value, isQuoted: false, from: 15 });
  assert.deepEqual(at('{job="x", unit=~"ngi^"}'), { ...value, isQuoted: true, from: 17 });
});

test("operators after a selector, stages after a pipe", () => {
  assert.equal(at('{a="b"} ^').kind, "operator");
  assert.equal(at('{a="b"} |= "x" ^').kind, "operator");
  assert.deepEqual(at('{a="b"} | ^'), { kind: "stage", query: '{ a = "b" }', from: 10 });
  assert.deepEqual(at('{a="b"} | json | sta^'), { kind: "stage", query: '{ a = "b" }| json', from: 17 });
  assert.equal(at('{a="b"} |= "so^').kind, "none");
});

test("fields and their values in label filters", () => {
  assert.equal(at('{a="b"} | json | status="5^').kind, "field-value");
  assert.deepEqual(at('{a="b"} | status=^'), {
    kind: "field-value",
    field: "status",
    query: '{ a = "b" }',
    isQuoted: false,
    from: 17,
  });
  assert.equal(at('{a="b"} | json | x="1" and ^').kind, "field");
  assert.equal(at('{a="b"} | json | unwrap ^').kind, "field");
  assert.equal(at('{a="b"} | json | keep x, ^').kind, "field");
});

test("groupings know the selector behind them, ranges need durations", () => {
  assert.deepEqual(at('sum by (^) (rate({a="b"}[1m]))'), { kind: "grouping", selector: '{ a = "b" }', from: 8 });
  assert.deepEqual(at('rate({a="b"} [5^'), { kind: "duration", from: 14 });
});

test("brackets and pipes in strings mean nothing", () => {
  assert.equal(at('{a="{|"} |= "} | (" ^').kind, "operator");
  assert.equal(at('{a="b\\"{"} | ^').kind, "stage");
});
