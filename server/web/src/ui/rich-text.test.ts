import assert from "node:assert/strict";
import { test } from "node:test";
import { pieces, plain } from "./rich-text";

const told = (text: string, sought?: RegExp) =>
  pieces(text, sought).map((it) => [it.text, it.look, it.isSought]);

test("colours and bold become classes and end where they are reset", () => {
  assert.deepEqual(told("a\u001b[1;31mb\u001b[22mc\u001b[0md\u001b[93me\u001b[Kf"), [
    ["a", "", false],
    ["b", "ansi-red ansi-bold", false],
    ["c", "ansi-red", false],
    ["d", "", false],
    ["e", "ansi-yellow", false],
    ["f", "ansi-yellow", false],
  ]);
  assert.equal(plain("a\u001b[1;31mb\u001b[0m"), "ab");
});

test("colours beyond the eight are left out with their parameters", () => {
  assert.deepEqual(told("\u001b[38;5;1ma\u001b[38;2;1;31;4mb\u001b[48;5;31;32mc"), [
    ["a", "", false],
    ["b", "", false],
    ["c", "ansi-green", false],
  ]);
});

test("what was looked for is marked, over colours, too", () => {
  assert.deepEqual(told("an error", /err/g), [["an ", "", false], ["err", "", true], ["or", "", false]]);
  assert.deepEqual(told("e\u001b[31mrr\u001b[0mor", /err/g), [
    ["e", "", true],
    ["rr", "ansi-red", true],
    ["or", "", false],
  ]);
  assert.deepEqual(told("aa", /a*?/g), [["aa", "", false]]);
  assert.equal(pieces("x".repeat(5000), /x/g).filter((it) => it.isSought).length, 200);
});
