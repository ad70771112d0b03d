import assert from "node:assert/strict";
import { test } from "node:test";
import { linesQuery, logins } from "./ssh-logins";

test("the most frequent logins come first", () => {
  const row = (labels: Record<string, string>, count: number) => ({ labels, times: [0], values: [count] });
  const found = logins([
    row({ user: "grace", ip: "192.0.2.8", how: "password" }, 2),
    row({ user: "ada", ip: "192.0.2.7", how: "publickey" }, 15),
    row({ ip: "198.51.100.9" }, 2),
  ]);
  assert.deepEqual(
    found.map(({ user, from, how, count }) => [user, from, how, count]),
    [
      ["ada", "192.0.2.7", "publickey", 15],
      ["", "198.51.100.9", "", 2],
      ["grace", "192.0.2.8", "password", 2],
    ],
  );
});

test("a host's name is quoted in its queries", () => {
  assert.equal(
    linesQuery('a"b', "sudo"),
    '{job="systemd-journal", host="a\\"b"} |= "COMMAND=" !~ "NOT in sudoers|not allowed|incorrect password" | SYSLOG_IDENTIFIER=~"sudo"',
  );
});
