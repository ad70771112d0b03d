import assert from "node:assert/strict";
import { test } from "node:test";
import { gridOf, PRESETS, rangeName, rangeOf } from "./range";
import { chosenOf } from "./range-picker";

const of = (query: string) => rangeOf(new URLSearchParams(query));

test("an address names a length or two times, and nonsense means the last hour", () => {
  assert.deepEqual(of("range=6h"), { kind: "last", seconds: 21_600 });
  assert.deepEqual(of("range=1h30m"), { kind: "last", seconds: 5400 });
  assert.deepEqual(of("from=1000&to=2000"), { kind: "fixed", from: 1000, to: 2000 });
  for (const nonsense of ["", "range=never", "from=2000&to=1000", "from=x&to=y"]) {
    assert.deepEqual(of(nonsense), { kind: "last", seconds: 3600 }, nonsense);
  }
});

test("every grid covers its range, lies on its step and never has too many points", () => {
  const now = 1_790_000_123_456;
  for (const seconds of [...PRESETS.map(([, s]) => s), 3 * 365 * 86_400]) {
    const { start, end, step } = gridOf({ kind: "last", seconds }, now);
    assert.ok(start <= now / 1000 - seconds && end >= now / 1000, `${seconds}`);
    assert.equal(start % step, 0);
    assert.equal(end % step, 0);
    assert.ok((end - start) / step <= 482, `${seconds}: ${(end - start) / step} points`);
  }
});

test("every length has a name that says it again", () => {
  for (const seconds of [...PRESETS.map(([, s]) => s), 5400, 7200, 90, 3 * 86_400]) {
    assert.deepEqual(of(`range=${rangeName(seconds)}`), { kind: "last", seconds });
  }
});

test("typed times are a length up to now, or two times, or told what is wrong", () => {
  const now = 1_790_000_000_000;
  assert.deepEqual(chosenOf("now-90m", "now", now), { range: "90m", from: undefined, to: undefined });
  assert.deepEqual(chosenOf("now-2h", "now-1h", now), {
    range: undefined,
    from: String(now - 7_200_000),
    to: String(now - 3_600_000),
  });
  assert.match(String(chosenOf("soon", "now", now)), /“soon” is no time; write now-90m/);
  assert.match(String(chosenOf("now", "now-1h", now)), /must be before/);
});
