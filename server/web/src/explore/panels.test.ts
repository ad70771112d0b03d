import assert from "node:assert/strict";
import { test } from "node:test";
import { panelChanges, panelCount, panelParams, PANELS_MAX, withoutPanel, withPanel } from "./panels";

const params = (text: string) => new URLSearchParams(text);

test("there is always one panel, and as many as the address fills or counts", () => {
  const count = (text: string) => panelCount(params(text), "promql");
  assert.deepEqual(["", "promql=up", "promql3=up", "metrics=2", "metrics=99", "metrics=x"].map(count), [1, 1, 3, 2, PANELS_MAX, 1]);
});

test("a panel knows only its own part, and changes only that", () => {
  const all = params("promql=a&view=table&promql2=b&range=1h&logql2=c&lines2=10000");
  assert.equal(panelParams(all, "promql", 1).toString(), "promql=a&view=table");
  assert.equal(panelParams(all, "promql", 2).toString(), "promql=b");
  assert.equal(panelParams(all, "logql", 2).toString(), "logql=c&lines=10000");
  assert.deepEqual(panelChanges({ promql: "x", range: "6h" }, "promql", 2), { promql2: "x", range: "6h" });
});

test("those after one that is removed move up with all they have", () => {
  assert.deepEqual(withPanel(params("promql=a"), "promql"), { metrics: "2" });
  const changes = withoutPanel(params("promql=a&promql2=b&promql3=c&view3=table&metrics=3"), "promql", 2);
  assert.deepEqual(changes, { metrics: "2", promql2: "c", view2: "table", promql3: undefined, view3: undefined });
});
