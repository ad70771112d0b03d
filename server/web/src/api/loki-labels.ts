// What log lines can be asked for: labels, detected fields and their values, kept for a minute.
import { getJson, type Params } from "./client";

export interface Field {
  name: string;
  /** `string`, `int`, `float`, `duration`, `bytes`, `boolean`. */
  type: string;
  cardinality: number;
  /** `json`, `logfmt`; none if the line came with it. */
  parsers: string[];
}

/** Span that is looked at unless a view has one of its own. */
const LOOKBACK_S = 6 * 3600;
const KEPT_MS = 60_000;
const ANSWERS_MAX = 200;
const VALUES_MAX = 500;

const answers = new Map<string, { at: number; answer: Promise<unknown> }>();

/** The same question within a minute is asked once. */
function kept(path: string, params: Params): Promise<unknown> {
  const now = Date.now();
  const key = `${path} ${JSON.stringify(params)}`;
  const known = answers.get(key);
  if (known && now - known.at < KEPT_MS) return known.answer;
  const end = Math.ceil(now / KEPT_MS) * (KEPT_MS / 1000);
  const answer = getJson(path, { start: end - LOOKBACK_S, end, ...params });
  answer.catch(() => answers.delete(key));
  answers.set(key, { at: now, answer });
  const [oldest] = answers.keys();
  if (answers.size > ANSWERS_MAX && oldest !== undefined) answers.delete(oldest);
  return answer;
}

export async function labelNames(selector: string): Promise<string[]> {
  return dataOf(await kept("/loki/api/v1/labels", about(selector)));
}

export async function labelValues(name: string, selector: string): Promise<string[]> {
  const path = `/loki/api/v1/label/${encodeURIComponent(name)}/values`;
  return dataOf(await kept(path, about(selector))).slice(0, VALUES_MAX);
}

export async function detectedFields(query: string, span?: Params): Promise<Field[]> {
  const params = { query, line_limit: 1000, ...span };
  const json = (await kept("/loki/api/v1/detected_fields", params)) as {
    fields?: { label: string; type: string; cardinality: number; parsers: string[] | null }[] | null;
  };
  return (json.fields ?? []).map(({ label, type, cardinality, parsers }) => {
    return { name: label, type, cardinality, parsers: parsers ?? [] };
  });
}

export async function fieldValues(name: string, query: string): Promise<string[]> {
  const path = `/loki/api/v1/detected_field/${encodeURIComponent(name)}/values`;
  const json = (await kept(path, { query, limit: 100 })) as { values?: string[] | null };
  return json.values ?? [];
}

function about(selector: string): Params {
  return selector === "{}" ? {} : { query: selector };
}

function dataOf(json: unknown): string[] {
  return (json as { data?: string[] | null }).data ?? [];
}
