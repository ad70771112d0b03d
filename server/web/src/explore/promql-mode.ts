// PromQL in the editor: Prometheus' own mode, which completes through our Prometheus API.
import type { Extension } from "@codemirror/state";
import { PromQLExtension } from "@prometheus-io/codemirror-promql";

/** Metrics and labels of so long ago are still offered. */
const LOOKBACK_MS = 6 * 3_600_000;
/** With more metrics than this, their types and help are not asked for. */
const METADATA_MAX = 10_000;

export function promql(): Extension {
  const remote = { httpMethod: "GET" as const, lookbackInterval: LOOKBACK_MS };
  return new PromQLExtension()
    .setComplete({ remote, maxMetricsMetadata: METADATA_MAX })
    .asExtension();
}
