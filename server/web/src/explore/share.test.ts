import assert from "node:assert/strict";
import { test } from "node:test";
import { linkTo } from "./share";

test("a link holds the range fast, and keeps everything else", () => {
  const href = "https://skep.example/explore?promql=up&range=1h&refresh=10s";
  assert.equal(
    linkTo(href, { kind: "last", seconds: 3600 }, 3_600_000.4),
    "https://skep.example/explore?promql=up&from=0&to=3600000",
  );
  const fixed = "https://skep.example/explore?from=1&to=2";
  assert.equal(linkTo(fixed, { kind: "fixed", from: 1, to: 2 }, 9), fixed);
});
