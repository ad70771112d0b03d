import assert from "node:assert/strict";
import { test } from "node:test";
import type { Series } from "../api/prometheus";
import { linesOf, questionOf } from "./chart-lines";
import { HOST_CHARTS, UNIT_CHARTS, type ChartSpec } from "./charts";

const SPEC: ChartSpec = {
  id: "test",
  title: "Test",
  format: String,
  queries: [
    { name: ({ mode = "" }) => mode, names: ["user", "system"], colours: ["--a", "--b"], text: () => "x" },
    { name: "limit", colour: "--bad", text: () => "y" },
  ],
};
const series = (chart_line: string, mode: string, ...values: number[]): Series => ({
  labels: { chart_line, mode },
  times: values.map((_, i) => i),
  values,
});

test("a chart asks one question", () => {
  assert.equal(
    questionOf(SPEC, { host: "h", grid: { start: 0, end: 1, step: 1 } }),
    'label_replace(x, "chart_line", "0", "", "") or label_replace(y, "chart_line", "1", "", "")',
  );
});

test("lines come in the order of the queries, each with its colour", () => {
  const lines = linesOf(SPEC, [
    series("1", "", 9),
    series("0", "system", 1),
    series("0", "other", 1),
    series("0", "user", 2),
  ]);
  assert.deepEqual(
    lines.map(({ name, colour }) => `${name} ${colour}`),
    ["user --a", "system --b", "other --chart-3", "limit --bad"],
  );
});

test("what never moves from zero is left out, unless nothing else is there", () => {
  const lines = linesOf(SPEC, [series("0", "user", 0, 0), series("0", "system", 0, 1), series("1", "", NaN)]);
  assert.deepEqual(lines.map(({ name }) => name), ["system"]);
  assert.deepEqual(linesOf(SPEC, [series("0", "user", 0, 0)]).length, 1);
  assert.deepEqual(linesOf(SPEC, []), []);
});

test("the names of a host and a unit are quoted in every question", () => {
  const scope = { host: 'a"b', unit: "c\\d", grid: { start: 0, end: 3600, step: 300 } };
  for (const spec of [...HOST_CHARTS, ...UNIT_CHARTS]) {
    const question = questionOf(spec, scope);
    assert.ok(question.includes('instance="a\\"b"'), spec.id);
    assert.ok(question.includes("[300s]"), `${spec.id} looks back a whole step`);
  }
});
