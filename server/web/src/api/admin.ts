// What administrators ask: the store's layout, queries, certificates, and who may come in.
import { getJson, send } from "./client";
import type { Labels } from "./prometheus";

export interface Day {
  day: string;
  bytes: number;
  rows: number;
  parts: number;
  unmerged_parts: number;
  oldest_unix_ms: number;
  newest_unix_ms: number;
}

export interface StoredTable {
  name: string;
  bytes: number;
  rows: number;
  parts: number;
  days: Day[];
}

interface Tier {
  is_made: boolean;
  seconds: number | null;
}

export interface Storage {
  tables: StoredTable[];
  label_sets: Record<"series" | "streams", { count: number; bytes: number }>;
  memory: {
    samples: number;
    histograms: number;
    lines: number;
    bytes: number;
    wal_bytes: number;
    last_flush_unix_ms: number | null;
  };
  disk: {
    used_bytes: number | null;
    max_bytes: number | null;
    free_bytes: number;
    is_full: boolean;
    evicted_parts: number;
    evicted_bytes: number;
    merges_postponed: number;
    damaged_parts: number;
  };
  next_out: { table: string; day: string; parts: number; bytes: number }[];
  retention: {
    seconds: number | null;
    rules: { table: string; selector: string; seconds: number | null }[];
    samples_5m: Tier;
    samples_1h: Tier;
  };
}

export interface MetricSizes {
  metrics: { name: string; series: number; estimated_bytes: number }[];
  n_metrics: number;
  n_series: number;
  estimated_bytes: number;
}

export interface Ranked {
  name: string;
  value: number;
}

export interface Cardinality {
  headStats: { numSeries: number; numLabelPairs: number };
  seriesCountByMetricName: Ranked[];
  seriesCountByLabelName: Ranked[];
  labelValueCountByLabelName: Ranked[];
  seriesCountByLabelValuePair: Ranked[];
  seriesCountByFocusLabelValue?: Ranked[];
}

export interface Query {
  id: number;
  language: "promql" | "logql" | "sql";
  path: string;
  query: string;
  is_cut: boolean;
  user: string | null;
  client_ip: string | null;
  started_unix_ms: number;
  span: { start_ms: number; end_ms: number; step_ms: number } | null;
  seconds: number;
  queued_seconds: number;
  cpu_seconds: number;
  rows: number;
  read_bytes: number;
  answer_bytes: number;
  state: "queued" | "running" | "done" | "failed" | "canceled";
  error?: string;
}

export interface Queries {
  running: Query[];
  slowest: Query[];
  recent: Query[];
}

export interface Certificate {
  names: string[];
  source: "file" | "acme" | "local";
  issuer: string | null;
  not_after_unix_s: number | null;
  next_attempt_unix_s: number | null;
  last_error: string | null;
  failures: number;
  renewals: number;
}

export interface Me {
  name: string;
  scopes: string[];
  session: string | null;
}

export interface Token {
  name: string;
  kind: string;
  scopes: string[];
  created_unix_s: number;
  expires_unix_s: number | null;
  last_used_unix_s: number | null;
}

export interface Session {
  id: string;
  user: string;
  host: string | null;
  created_unix_s: number;
  expires_unix_s: number;
  peer: string | null;
  browser: string;
}

export interface User {
  name: string;
  role: string;
  created_unix_s: number;
  has_second_factor: boolean;
}

const ADMIN = "/api/v1/admin";
const OWN = "/-/skep/v1";

type Asked = Record<string, string | number>;

async function get<T>(path: string, params: Asked, abort?: AbortSignal): Promise<T> {
  return ((await getJson(path, params, abort)) as { data: T }).data;
}

export const storage = (abort: AbortSignal) => get<Storage>(`${ADMIN}/storage`, {}, abort);

export const metricSizes = (limit: number, abort: AbortSignal) =>
  get<MetricSizes>(`${ADMIN}/storage/metrics`, { limit }, abort);

export const queries = (limit: number, abort: AbortSignal) =>
  get<Queries>(`${ADMIN}/queries`, { limit }, abort);

export const cancelQuery = (id: number) => send("DELETE", `${ADMIN}/queries/${id}`);

/** Of all series, or of those that `match` finds; values of `focus`, if one is named. */
export function cardinality(
  { match, focus, limit }: { match?: string; focus?: string; limit: number },
  abort: AbortSignal,
): Promise<Cardinality> {
  const params: Asked = { limit };
  if (match !== undefined) params["match[]"] = match;
  if (focus !== undefined) params.focusLabel = focus;
  return get("/api/v1/status/tsdb", params, abort);
}

/** Bytes of log lines of a span by each value of a label, the most first. */
export async function volumeBy(
  label: string,
  [start, end]: [number, number],
  limit: number,
  abort: AbortSignal,
): Promise<Ranked[]> {
  const params = { query: `{${label}=~".+"}`, targetLabels: label, start, end, limit };
  const data = await get<{ result: { metric: Labels; value: [number, string] }[] }>(
    "/loki/api/v1/index/volume",
    params,
    abort,
  );
  return data.result.map(({ metric, value }) => ({ name: metric[label] ?? "", value: Number(value[1]) }));
}

export const certificates = (abort: AbortSignal) =>
  get<Certificate[]>(`${OWN}/certificates`, {}, abort);

export const me = (abort?: AbortSignal) => get<Me>(`${OWN}/me`, {}, abort);

export const tokens = (abort: AbortSignal) => get<Token[]>(`${OWN}/tokens`, {}, abort);

export const users = (abort: AbortSignal) => get<User[]>(`${OWN}/users`, {}, abort);

/** One's own, or everybody's. */
export const sessions = (whose: "mine" | "all", abort: AbortSignal) =>
  get<Session[]>(`${OWN}/sessions`, whose === "all" ? { user: "*" } : {}, abort);

/** The token, which nobody can show again. */
export async function newToken(name: string, scopes: string[], expires_in_s?: number): Promise<string> {
  const body = { name, scopes, ...(expires_in_s === undefined ? {} : { expires_in_s }) };
  const answer = (await send("POST", `${OWN}/tokens`, body)) as { data: { token: string } };
  return answer.data.token;
}

export interface Enrolment {
  host: string;
  /** What is pasted on the host; null where the page's own address leads no other host here. */
  command: string | null;
  expires_in_s: number;
}

/** A way in for one agent, which nobody can show again. */
export async function newEnrolment(host: string): Promise<Enrolment> {
  return ((await send("POST", `${OWN}/enrolments`, { host })) as { data: Enrolment }).data;
}

export const revokeToken = (name: string) => send("DELETE", `${OWN}/tokens/${encodeURIComponent(name)}`);

export const endSession = (id: string) => send("DELETE", `${OWN}/sessions/${encodeURIComponent(id)}`);

export const endMySessions = () => send("DELETE", `${OWN}/sessions`);
