import assert from "node:assert/strict";
import { test } from "node:test";
import { counting, faultsOf, isMetric, logQueryOf, selectorOf, soughtBy, withFilter, withMatcher } from "./logql-text";

test("a matcher goes into the selector, in place of what it contradicts", () => {
  const add = (query: string, op: "=" | "!=" = "=") => withMatcher(query, "unit", op, 'a"b');
  assert.equal(add('{job="x"} |= "y"'), '{job="x", unit="a\\"b"} |= "y"');
  assert.equal(add("{}"), '{unit="a\\"b"}');
  assert.equal(add('{unit="c", job="x"}'), '{unit="a\\"b", job="x"}');
  assert.equal(add('{unit=`a"b`}'), '{unit=`a"b`}');
  assert.equal(add('{unit="a\\"b"}', "!="), '{unit!="a\\"b"}');
  assert.equal(add('{unit!="c"}', "!="), '{unit!="c", unit!="a\\"b"}');
});

test("every selector of a metric query gets it", () => {
  const query = 'sum(rate({a="1"}[1m])) / sum(rate({a="2"} |= "x" [1m]))';
  assert.equal(
    withMatcher(query, "b", "=", "3"),
    'sum(rate({a="1", b="3"}[1m])) / sum(rate({a="2", b="3"} |= "x" [1m]))',
  );
});

test("a label filter ends the pipeline, after the parser that its field needs", () => {
  const add = (query: string, parser?: string) => withFilter(query, "status", "=", "500", parser);
  assert.equal(add('{a="b"}'), '{a="b"} | status="500"');
  assert.equal(add('{a="b"} |= "x"', "json"), '{a="b"} |= "x" | json | status="500"');
  assert.equal(add('{a="b"} | json', "json"), '{a="b"} | json | status="500"');
  assert.equal(add('{a="b"} | logfmt --strict', "logfmt"), '{a="b"} | logfmt --strict | status="500"');
  assert.equal(add('{a="b"} | status!="500"'), '{a="b"} | status="500"');
  assert.equal(add('count_over_time({a="b"} | json [5m])'), 'count_over_time({a="b"} | json | status="500" [5m])');
  assert.equal(add(add('{a="b"}')), '{a="b"} | status="500"');
});

test("the lines of a metric query are its log query", () => {
  assert.equal(logQueryOf('sum by (l) (rate({a="b"} |= "x" | json [5m]))'), '{a="b"} |= "x" | json');
  assert.equal(logQueryOf("nonsense"), undefined);
  assert.equal(selectorOf('{a="b"} |= "x"'), '{a="b"}');
  assert.deepEqual([isMetric('rate({a="b"}[1m])'), isMetric('{a="b"}')], [true, false]);
});

test("lines that a parser does not understand are counted, too", () => {
  assert.equal(counting('{a="b"} |= "x"', "5m"), 'count_over_time({a="b"} |= "x" [5m])');
  assert.equal(
    counting('{a="b"} | json', "5m"),
    'count_over_time({a="b"} | json | drop __error__, __error_details__ [5m])',
  );
});

test("what line filters look for is one pattern, what they leave out is not", () => {
  assert.equal(soughtBy('{a="b"} |= "x.y" or "z" != "w" |~ `\\d+`')?.source, "(?:x\\.y)|(?:z)|(?:\\d+)");
  assert.equal(soughtBy('{a="b"} |~ "(?i)error"')?.flags, "gi");
  assert.equal(soughtBy('{a="b"} |= ""'), undefined);
  assert.equal(soughtBy('{a="b"} |~ "(?P<x>a)"'), undefined);
});

test("faults have a place", () => {
  for (const fine of ['{a="b"} |= "x"', "", " "]) assert.deepEqual(faultsOf(fine), []);
  assert.deepEqual(faultsOf('{a="b"} | '), [{ from: 10, to: 10, message: "the query goes on here" }]);
  assert.equal(faultsOf('{a="b"}} |= "x"')[0]?.from, 7);
});
