import assert from "node:assert/strict";
import { test } from "node:test";
import { changed, hostHref, measurable, placeOf, rangeOnly, spanOf, unitHref } from "./address";

test("names of hosts and units survive the way through the address", () => {
  for (const host of ["nas", "nas.home.lan", "a/b", "10.0.0.1:9100", "100 %", "ä"]) {
    assert.deepEqual(placeOf(hostHref(host)), { host });
    for (const unit of ["nginx.service", "/", "postgresql@15-main.service", "a b"]) {
      assert.deepEqual(placeOf(unitHref(host, unit)), { host, unit });
    }
  }
});

test("what is no host's address is none", () => {
  for (const path of ["/", "/host", "/host/", "/explore", "/host/a/b", "/host/a/unit/b/c", "/hosts/a"]) {
    assert.equal(placeOf(path), undefined, path);
  }
  assert.deepEqual(placeOf("/host/%E0%A4%A"), { host: "%E0%A4%A" });
});

test("a change leaves the rest of the query alone", () => {
  const query = new URLSearchParams("range=6h&a=1&b=2");
  assert.equal(changed(query, { a: undefined, b: "", unit: "x" }).toString(), "range=6h&unit=x");
  assert.equal(rangeOnly(query).toString(), "range=6h");
});

test("a span is two times in order", () => {
  assert.deepEqual(spanOf(new URLSearchParams("a=10&b=20")), { from: 10, to: 20 });
  for (const query of ["", "a=10", "a=20&b=10", "a=x&b=y"]) {
    assert.equal(spanOf(new URLSearchParams(query)), undefined, query);
  }
});

test("a span is asked about on the grid and long enough for a rate", () => {
  assert.deepEqual(measurable({ from: 100, to: 300 }), { from: 90, to: 300 });
  assert.deepEqual(measurable({ from: 100, to: 101 }), { from: 60, to: 135 });
});
