import assert from "node:assert/strict";
import { test } from "node:test";
import type { Range, Series } from "../api/prometheus";
import { Fleet, hostsOf, joined } from "./fleet";

const NOW_S = 1_790_000_000 - (1_790_000_000 % 300);
const abort = new AbortController().signal;
const series = (labels: Record<string, string>, points: [number, number][]): Series => ({
  labels,
  times: points.map(([time]) => time),
  values: points.map(([, value]) => value),
});

test("once the whole window is asked for, then what is new, and what changes seldom each minute", async () => {
  const asked: string[] = [];
  const fleet = new Fleet(async (query: string, { start, end }: Range) => {
    asked.push(`${query.includes("node_uname_info") ? "facts" : "live"} ${end - start}`);
    return [];
  });
  for (let second = 15; second <= 90; second += 15) await fleet.ask((NOW_S + second) * 1000, abort);
  const tail = "live 75";
  assert.deepEqual(asked, ["live 900", "facts 0", tail, tail, tail, "facts 0", tail, tail]);
  asked.length = 0;
  // A tab that was not seen for two minutes, then at the fifth.
  await fleet.ask((NOW_S + 210) * 1000, abort);
  await fleet.ask((NOW_S + 300) * 1000, abort);
  assert.deepEqual(asked, ["live 180", "facts 0", "live 900", "facts 0"]);
});

test("a question that fails is asked again in full", async () => {
  const asked: number[] = [];
  let isUp = false;
  const fleet = new Fleet(async (_query: string, { start, end }: Range) => {
    asked.push(end - start);
    if (!isUp) throw new Error("away");
    return [];
  });
  await assert.rejects(fleet.ask(NOW_S * 1000, abort));
  isUp = true;
  await fleet.ask((NOW_S + 15) * 1000, abort);
  assert.deepEqual(asked, [900, 0, 900, 0]);
});

test("new points take the place of those of their time, and old ones go", () => {
  const cpu = { figure: "cpu", instance: "bee" };
  const old = [series(cpu, [[0, 1], [15, 2], [30, 3]]), series({ figure: "cpu", instance: "gone" }, [[0, 9]])];
  const [bee, ...others] = joined(old, [series(cpu, [[30, 4], [45, 5]])], 15, 30);
  assert.deepEqual([bee?.times, bee?.values], [[15, 30, 45], [2, 4, 5]]);
  assert.deepEqual(others, []);
});

test("a host that says nothing now has its past, its name and no figures of now", () => {
  const instance = "bee";
  const named = (__name__: string, more: [number, number][]) => series({ __name__, instance }, more);
  const facts = [
    series({ __name__: "node_uname_info", instance, sysname: "Linux", release: "6.1", machine: "x86_64" }, [[60, 1]]),
    named("node_memory_MemTotal_bytes", [[60, 200]]),
    series({ __name__: "node_filesystem_size_bytes", instance, mountpoint: "/", device: "a", fstype: "ext4" }, [[60, 10]]),
    series({ __name__: "node_filesystem_avail_bytes", instance, mountpoint: "/", device: "a", fstype: "ext4" }, [[60, 4]]),
  ];
  const live = [
    series({ __name__: "node_load1", figure: "load", instance }, [[45, 2]]),
    series({ __name__: "node_memory_MemAvailable_bytes", figure: "available", instance }, [[45, 50]]),
    series({ figure: "cpu", instance }, [[45, 33]]),
  ];
  const [then] = hostsOf(live, facts, 45);
  assert.deepEqual([then?.system, then?.load1, then?.memory.used], ["Linux 6.1 · x86_64", 2, 150]);
  assert.deepEqual(then?.disk, { mountpoint: "/", used: 6, total: 10 });
  const [now] = hostsOf(live, facts, 60);
  assert.deepEqual([now?.load1, now?.memory.used, now?.seen_at], [NaN, NaN, 45]);
  assert.deepEqual(now?.memory.percent, { times: [45], values: [75] });
});
