import assert from "node:assert/strict";
import { test } from "node:test";
import { unitsOf } from "./listening-units";

const series = (labels: Record<string, string>, value: number) => ({ labels, times: [1], values: [value] });

test("a unit is one row with all of its protocols, and none without sockets", () => {
  const rows = unitsOf([
    series({ instance: "nas", unit: "sshd.service", protocol: "tcp" }, 2),
    series({ instance: "nas", unit: "dns.service", protocol: "udp" }, 1),
    series({ instance: "nas", unit: "dns.service", protocol: "tcp" }, 1),
    series({ instance: "nas", unit: "gone.service", protocol: "tcp" }, 0),
    series({ instance: "lab", unit: "sshd.service", protocol: "tcp" }, 1),
  ]);
  assert.deepEqual(rows, [
    { host: "nas", unit: "dns.service", sockets: "1 tcp, 1 udp" },
    { host: "lab", unit: "sshd.service", sockets: "1 tcp" },
    { host: "nas", unit: "sshd.service", sockets: "2 tcp" },
  ]);
});
