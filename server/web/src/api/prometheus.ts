// Prometheus' query API: instant and range queries with numbers instead of strings.
import { getJson } from "./client";

export type Labels = Record<string, string>;

/** Points of one series, oldest first; times in seconds. */
export interface Series {
  labels: Labels;
  times: number[];
  values: number[];
}

export interface Answer {
  type: "vector" | "matrix" | "scalar" | "string";
  series: Series[];
  warnings: string[];
}

export interface Range {
  start: number;
  end: number;
  step: number;
}

type Point = [number, string];

interface Body {
  data: { resultType: Answer["type"]; result: unknown };
  warnings?: string[];
  infos?: string[];
}

interface Row {
  metric: Labels;
  value?: Point;
  values?: Point[];
}

export async function instant(query: string, time?: number, abort?: AbortSignal): Promise<Answer> {
  const params = time === undefined ? { query } : { query, time };
  return answer(await getJson("/api/v1/query", params, abort));
}

export async function range(query: string, at: Range, abort?: AbortSignal): Promise<Answer> {
  return answer(await getJson("/api/v1/query_range", { query, ...at }, abort));
}

/** Also of Loki, whose metric queries answer in the same shape. */
export function answer(json: unknown): Answer {
  const { data, warnings = [], infos = [] } = json as Body;
  const all = [...warnings, ...infos];
  if (data.resultType === "scalar" || data.resultType === "string") {
    return { type: data.resultType, series: [series({}, [data.result as Point])], warnings: all };
  }
  const rows = data.result as Row[];
  const found = rows.map((row) => series(row.metric, row.values ?? (row.value ? [row.value] : [])));
  return { type: data.resultType, series: found, warnings: all };
}

function series(labels: Labels, points: Point[]): Series {
  return { labels, times: points.map(([t]) => t), values: points.map(([, v]) => number(v)) };
}

function number(text: string): number {
  if (text === "+Inf") return Infinity;
  return text === "-Inf" ? -Infinity : Number(text);
}

/** The newest value of a series. */
export function last(series: Series | undefined): number {
  return series?.values.at(-1) ?? NaN;
}
