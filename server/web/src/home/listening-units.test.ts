import assert from "node:assert/strict";
import { test } from "node:test";
import { unitsOf } from "./listening-units";

const series = (labels: Record<string, string>, value: number) => ({ labels, times: [1], values: [value] });

test("a unit is one row with its protocols and ports, and none without sockets", () => {
  const rows = unitsOf([
    series({ instance: "nas", unit: "web.service", protocol: "tcp" }, 4),
    series({ instance: "nas", unit: "web.service", protocol: "tcp", port: "443" }, 1),
    series({ instance: "nas", unit: "web.service", protocol: "tcp", port: "80" }, 1),
    series({ instance: "nas", unit: "dns.service", protocol: "udp", port: "53" }, 1),
    series({ instance: "nas", unit: "dns.service", protocol: "udp" }, 2),
    series({ instance: "nas", unit: "dns.service", protocol: "tcp" }, 1),
    series({ instance: "nas", unit: "gone.service", protocol: "tcp" }, 0),
    series({ instance: "lab", unit: "web.service", protocol: "tcp" }, 1),
  ]);
  assert.deepEqual(rows, [
    { host: "nas", unit: "dns.service", sockets: "1 tcp · udp 53" },
    { host: "lab", unit: "web.service", sockets: "1 tcp" },
    { host: "nas", unit: "web.service", sockets: "tcp 80, 443" },
  ]);
});
