// What the server says of itself: the charts of its page, from its own metrics in its own store.
import type { ChartSpec, Query } from "../host/charts";
import { axisBytes, ofSecond, plain, seconds } from "../host/measures";
import { gauge, rated, type Scope } from "../host/scope";

export const JOB = 'job="skep-server"';

const rate = (scope: Scope, metric: string, more = "") =>
  `sum(${rated(scope, metric, [JOB, more].filter(Boolean).join(","))})`;
const now = (scope: Scope, metric: string) => `sum(${gauge(scope, metric, JOB)})`;

const rises = (name: string, metric: string, more = ""): Query => ({
  name,
  text: (at) => rate(at, metric, more),
});
const holds = (name: string, metric: string): Query => ({ name, text: (at) => now(at, metric) });

const slowest = (quantile: number): Query => ({
  name: `${100 * quantile} % take less`,
  text: (at) =>
    `histogram_quantile(${quantile}, sum by (le) (${rated(at, "skep_query_seconds_bucket", JOB)}))`,
});

const by = (label: string, metric: string): Query => ({
  name: (labels) => labels[label] ?? "",
  text: (at) => `sum by (${label}) (${rated(at, metric, JOB)})`,
});

export const SERVER_CHARTS: ChartSpec[] = [
  {
    id: "taken-in",
    title: "Taken in, a second",
    format: plain,
    queries: [
      rises("samples", "skep_receive_samples_total"),
      rises("log lines", "skep_receive_entries_total"),
    ],
  },
  { id: "bytes-in", title: "Bytes received", format: ofSecond, queries: [rises("bodies", "skep_receive_bytes_total")] },
  {
    id: "refused",
    title: "Refused, a second",
    format: plain,
    queries: [
      rises("samples refused", "skep_receive_samples_refused_total"),
      rises("lines refused", "skep_receive_entries_refused_total"),
      rises("writes told to come again", "skep_receive_deferred_total"),
    ],
  },
  { id: "requests", title: "Requests, a second", format: plain, queries: [by("code", "skep_api_requests_total")] },
  { id: "query-time", title: "Time of queries", format: seconds, queries: [slowest(0.5), slowest(0.95), slowest(0.99)] },
  { id: "queries", title: "Queries, a second", format: plain, queries: [rises("queries", "skep_query_seconds_count")] },
  {
    id: "waiting",
    title: "Not yet in files",
    format: axisBytes,
    queries: [
      holds("write-ahead log", "skep_store_wal_bytes"),
      holds("rows in memory", "skep_store_head_bytes"),
    ],
  },
  {
    id: "memory",
    title: "Memory",
    format: axisBytes,
    queries: [
      holds("process", "process_resident_memory_bytes"),
      { ...holds("limit", "skep_memory_limit_bytes"), colour: "--bad" },
    ],
  },
  {
    id: "store-disk",
    title: "Disk",
    format: axisBytes,
    queries: [
      holds("files of the store", "skep_store_disk_bytes"),
      { ...holds("store.max_bytes", "skep_store_max_bytes"), colour: "--bad" },
      holds("free", "skep_store_file_system_free_bytes"),
    ],
  },
  {
    id: "writes-to-disk",
    title: "Written to disk, a second",
    format: plain,
    queries: [
      rises("syncs of the log", "skep_store_wal_syncs_total"),
      rises("flushes", "skep_store_flushes_total"),
    ],
  },
  {
    id: "failures",
    title: "Failures, a second",
    format: plain,
    queries: [
      rises("flushes", "skep_store_flush_failures_total"),
      rises("write-ahead log", "skep_store_wal_failures_total"),
      rises("TLS handshakes", "skep_front_tls_handshake_failures_total"),
      rises("answers of 500 and more", "skep_api_requests_total", 'code=~"5.."'),
    ],
  },
  { id: "connections", title: "Connections", format: plain, queries: [holds("open", "skep_front_connections")] },
];
