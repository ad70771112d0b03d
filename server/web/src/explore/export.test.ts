import assert from "node:assert/strict";
import { test } from "node:test";
import { linesOf } from "../api/loki";
import { exactTime, linesCsv, linesJson, linesText, seriesCsv, seriesJson } from "./export";

const SERIES = [
  { labels: { __name__: "up", job: 'a,"b"' }, times: [1_790_000_000, 1_790_000_015], values: [1, -Infinity] },
  { labels: { host: "x\ny" }, times: [1_790_000_000.5], values: [NaN] },
];
const LINES = linesOf([
  { stream: { job: "x" }, values: [["1790000000000000001", "\u001b[31ma\u001b[0m, b", { pid: "7" }]] },
]);

test("series become rows of a table that a spreadsheet reads", () => {
  assert.equal(
    seriesCsv(SERIES),
    "time,__name__,host,job,value\r\n" +
      '2026-09-21T14:13:20.000Z,up,,"a,""b""",1\r\n' +
      '2026-09-21T14:13:35.000Z,up,,"a,""b""",-Inf\r\n' +
      '2026-09-21T14:13:20.500Z,,"x\ny",,NaN\r\n',
  );
});

test("series as JSON have Prometheus' shape", () => {
  const [first] = JSON.parse(seriesJson(SERIES));
  assert.deepEqual(first.values, [[1_790_000_000, "1"], [1_790_000_015, "-Inf"]]);
});

test("lines keep their nanoseconds; as text they lose their colours", () => {
  assert.equal(LINES[0] && exactTime(LINES[0]), "2026-09-21T14:13:20.000000001Z");
  assert.equal(linesText(LINES), "2026-09-21T14:13:20.000000001Z a, b\n");
  assert.equal(
    linesCsv(LINES),
    'time,job,pid,line\r\n2026-09-21T14:13:20.000000001Z,x,7,"\u001b[31ma\u001b[0m, b"\r\n',
  );
  const [line] = JSON.parse(linesJson(LINES));
  assert.deepEqual(line.metadata, { pid: "7" });
  assert.deepEqual(JSON.parse(linesJson([])), []);
});
