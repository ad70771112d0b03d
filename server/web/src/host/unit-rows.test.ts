import assert from "node:assert/strict";
import { test } from "node:test";
import type { Series } from "../api/prometheus";
import { filtered, joined, sorted, type Column, type UnitRow } from "./unit-rows";

const series = (unit: string, values: number[], container?: string): Series => ({
  labels: container === undefined ? { unit } : { unit, container },
  times: values.map((_, i) => i),
  values,
});
const NOTHING: Record<Column | "course", Series[]> = {
  course: [],
  cpu: [],
  wait: [],
  memory: [],
  io: [],
  network: [],
  tasks: [],
  restarts: [],
};
const rows = joined({
  ...NOTHING,
  cpu: [series("b.service", [1]), series("a.service", [2]), series("c.service", [9])],
  course: [series("a.service", [1, 3])],
  memory: [series("a.service", [5]), series("only-memory.scope", [7])],
  tasks: [series("ssh.service", [1], "box"), series("ssh.service", [2])],
});
const names = (all: UnitRow[]) => all.map(({ unit, container }) => (container ? `${container}/${unit}` : unit));

test("a unit is one row, whichever answers it is in, and containers are apart", () => {
  assert.equal(rows.length, 6);
  const a = rows.find(({ unit }) => unit === "a.service");
  assert.deepEqual([a?.cpu, a?.memory, a?.tasks, a?.spark.values], [2, 5, NaN, [1, 3]]);
});

test("figures descend, names ascend, what is not known is last either way", () => {
  const last = ["only-memory.scope", "ssh.service", "box/ssh.service"];
  assert.deepEqual(names(sorted(rows, "cpu", false)), ["c.service", "a.service", "b.service", ...last]);
  assert.deepEqual(names(sorted(rows, "cpu", true)), ["b.service", "a.service", "c.service", ...last]);
  assert.equal(names(sorted(rows, "unit", false))[0], "a.service");
  assert.equal(names(sorted(rows, "unit", true))[0], "box/ssh.service");
});

test("a filter's words may come in any order and from the container's name", () => {
  assert.deepEqual(names(filtered(rows, "SSH box")), ["box/ssh.service"]);
  assert.equal(filtered(rows, "  ").length, 6);
  assert.deepEqual(filtered(rows, "nothing"), []);
});
