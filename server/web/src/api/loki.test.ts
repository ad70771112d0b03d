import assert from "node:assert/strict";
import { test } from "node:test";
import { hostOf, levelOf, readAnswer, unitOf, type Line } from "./loki";

function lines(result: unknown): Line[] {
  const answer = readAnswer({ data: { resultType: "streams", result } });
  assert.equal(answer.type, "lines");
  return answer.type === "lines" ? answer.lines : [];
}

test("lines of several streams come newest first, to the nanosecond", () => {
  const found = lines([
    { stream: { unit: "a" }, values: [["1790000000000000002", "second"]] },
    { stream: { unit: "b" }, values: [["1790000000000000003", "third"], ["1790000000000000001", "first"]] },
  ]);
  assert.deepEqual(found.map((line) => line.text), ["third", "second", "first"]);
  assert.equal(found[0]?.ms, 1_790_000_000_000);
});

test("equal lines of one nanosecond are told apart", () => {
  const entry = ["1790000000000000001", "again"];
  const found = lines([{ stream: {}, values: [entry, entry, entry] }]);
  assert.equal(new Set(found.map((line) => line.key)).size, 3);
});

test("structured metadata is read in both of Loki's shapes", () => {
  const ns = "1790000000000000001";
  const [plain] = lines([{ stream: {}, values: [[ns, "x", { _PID: "1" }]] }]);
  const split = { structuredMetadata: { _PID: "1" }, parsed: { status: "200" } };
  const [both] = lines([{ stream: {}, values: [[ns, "x", split]] }]);
  assert.deepEqual(plain?.metadata, { _PID: "1" });
  assert.deepEqual(both?.metadata, { _PID: "1", status: "200" });
});

test("level, host and unit come from whichever label has them", () => {
  const line = (labels: Line["labels"], metadata: Line["metadata"] = {}): Line => ({
    key: "",
    ms: 0,
    text: "",
    labels,
    metadata,
  });
  assert.equal(levelOf(line({ level: "warn" })), "warning");
  assert.equal(levelOf(line({}, { PRIORITY: "3" })), "error");
  assert.equal(levelOf(line({ level: "odd" })), "unknown");
  assert.equal(hostOf(line({ instance: "nas" })), "nas");
  assert.equal(unitOf(line({ syslog_identifier: "sshd", job: "x" })), "sshd");
});
