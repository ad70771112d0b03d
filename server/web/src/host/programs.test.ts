import assert from "node:assert/strict";
import { test } from "node:test";
import type { Line } from "../api/loki";
import { programsOf } from "./programs";

const event = (event: string, unit: string, metadata: Record<string, string>): Line => ({
  key: "",
  ms: 0,
  text: "",
  labels: { source: "kernel", event, unit },
  metadata,
});

test("processes of one program and unit are added up, the most CPU time first", () => {
  const found = programsOf([
    event("exit", "cron.service", { comm: "sh", cpu_user_seconds: "0.5", rss_max_bytes: "100" }),
    event("exit", "cron.service", { comm: "sh", cpu_system_seconds: "0.25", rss_max_bytes: "300" }),
    event("exit", "a.service", { comm: "burn", cpu_user_seconds: "9", signal: "9" }),
  ]);
  assert.deepEqual(
    found.map((it) => [it.name, it.unit, it.count, it.cpu_seconds, it.memory_bytes, it.n_killed]),
    [
      ["burn", "a.service", 1, 9, 0, 1],
      ["sh", "cron.service", 2, 0.75, 300, 0],
    ],
  );
});

test("a program that started and has not ended is told, once it ended its start is not", () => {
  const found = programsOf([
    event("exec", "a.service", { filename: "/usr/bin/dd", comm: "dd" }),
    event("exec", "b.service", { comm: "ls" }),
    event("exit", "b.service", { comm: "ls" }),
  ]);
  assert.deepEqual(found.map((it) => [it.name, it.hasEnded]), [["dd", false], ["ls", true]]);
});

test("other events and fields that are no numbers do no harm", () => {
  const found = programsOf([
    event("oom", "a.service", { comm: "x" }),
    event("exit", "a.service", { comm: "y", cpu_user_seconds: "much" }),
  ]);
  assert.deepEqual(found.map((it) => [it.name, it.cpu_seconds]), [["y", 0]]);
});
