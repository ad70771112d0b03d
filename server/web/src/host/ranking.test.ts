import assert from "node:assert/strict";
import { test } from "node:test";
import type { Series } from "../api/prometheus";
import { rank, usesOf, type Use } from "./ranking";

const use = (unit: string, before: number, now: number): Use => ({ unit, container: "", before, now });
const told = (uses: Use[], hostRise = NaN) => {
  const { causes, rest } = rank(uses, hostRise);
  const shares = causes.map(({ unit, share }) => `${unit} ${Math.round(100 * share)} %`);
  return [...shares, `rest ${Math.round(100 * rest)} %`];
};
const series = (labels: Record<string, string>, value: number): Series => ({
  labels,
  times: [1],
  values: [value],
});

test("the unit that rose most comes first, with its part of the host's rise", () => {
  const uses = [use("nginx", 0.5, 0.7), use("postgresql", 0.1, 2.2), use("sshd", 0.2, 0.2)];
  assert.deepEqual(told(uses, 2.5), ["postgresql 84 %", "nginx 8 %", "rest 8 %"]);
});

test("who always used much is no cause", () => {
  const ranking = rank([use("busy", 4, 4.01), use("spike", 0, 1)], 1);
  assert.deepEqual(ranking.causes.map((it) => it.unit), ["spike"]);
  assert.deepEqual(ranking.others.map((it) => it.unit), ["busy"]);
});

test("when others fell at the same time, parts of the rise never exceed the whole", () => {
  assert.deepEqual(told([use("a", 0, 2), use("b", 2, 0)], 0), ["a 100 %", "rest 0 %"]);
  assert.deepEqual(told([use("a", 0, 3), use("b", 0, 1)], 1), ["a 75 %", "b 25 %", "rest 0 %"]);
});

test("without the host's own figure the units are the whole", () => {
  assert.deepEqual(told([use("a", 1, 4), use("b", 0, 1)]), ["a 75 %", "b 25 %", "rest 0 %"]);
});

test("ties are in the order of names", () => {
  assert.deepEqual(told([use("b", 0, 1), use("a", 0, 1)]), ["a 50 %", "b 50 %", "rest 0 %"]);
});

test("noise is no rise, and where nobody rose nothing is explained", () => {
  const { causes, rise, rest, others } = rank([use("a", 1, 1.001), use("b", 2, 1)], 0.5);
  assert.deepEqual([causes, rise, rest], [[], 0, 0]);
  assert.deepEqual(others.map((it) => it.unit), ["a", "b"]);
  assert.deepEqual(rank([], 1), { causes: [], others: [], rise: 0, rest: 0 });
});

test("units that appear rose from nothing, units that vanish fell to it", () => {
  const uses = usesOf(
    [series({ unit: "new.service" }, 3), series({ unit: "nan.service" }, NaN)],
    [series({ unit: "gone.service" }, 2)],
  );
  assert.deepEqual(uses, [
    use("new.service", 0, 3),
    use("nan.service", 0, 0),
    use("gone.service", 2, 0),
  ]);
  assert.deepEqual(told(uses), ["new.service 100 %", "rest 0 %"]);
});

test("a service of a container is not the host's of the same name", () => {
  const now = [series({ unit: "ssh.service" }, 1), series({ unit: "ssh.service", container: "c" }, 2)];
  assert.deepEqual(rank(usesOf(now, []), 3).causes.map((it) => it.container), ["c", ""]);
});
