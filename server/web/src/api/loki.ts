// Loki's query API: lines with their labels and structured metadata, newest first.
import { getJson, type Params } from "./client";
import { answer, type Answer, type Labels, type Range } from "./prometheus";

export interface Line {
  /** Unique within an answer; the same line has it in the next answer too. */
  key: string;
  /** Milliseconds; nanoseconds do not fit a number. */
  ms: number;
  text: string;
  labels: Labels;
  metadata: Labels;
}

/** What the server read to answer. */
export interface Work {
  lines: number;
  bytes: number;
}

export type LogAnswer =
  | { type: "lines"; lines: Line[]; work: Work }
  | { type: "metrics"; answer: Answer; work: Work };

export interface Stream {
  stream: Labels;
  values: Entry[];
}

type Entry = [string, string, (Labels | { structuredMetadata?: Labels; parsed?: Labels })?];

interface Body {
  data: { resultType: string; result: Stream[]; stats?: { summary?: Record<string, number> } };
}

/** Labels of a stream, structured metadata and parsed fields apart: each is filtered in its own way. */
const CATEGORIES = { "X-Loki-Response-Encoding-Flags": "categorize-labels" };

export async function queryRange(
  query: string,
  at: Range,
  limit: number,
  abort?: AbortSignal,
  timeout_ms?: number,
): Promise<LogAnswer> {
  const { start, end, step } = at;
  const params = { query, start, end, step, limit, direction: "backward" };
  return ask(params, abort, timeout_ms);
}

/** Lines of a span in nanoseconds; its end is not in it. */
export async function linesBetween(
  query: string,
  [start, end]: [string, string],
  limit: number,
  direction: "forward" | "backward",
  abort?: AbortSignal,
  timeout_ms?: number,
): Promise<LogAnswer> {
  return ask({ query, start, end, limit, direction }, abort, timeout_ms);
}

async function ask(params: Params, abort?: AbortSignal, timeout_ms?: number): Promise<LogAnswer> {
  const asking = timeout_ms === undefined ? { headers: CATEGORIES } : { headers: CATEGORIES, timeout_ms };
  return readAnswer(await getJson("/loki/api/v1/query_range", params, abort, asking));
}

export function readAnswer(json: unknown): LogAnswer {
  const { data } = json as Body;
  const { totalLinesProcessed = 0, totalBytesProcessed = 0 } = data.stats?.summary ?? {};
  const work = { lines: totalLinesProcessed, bytes: totalBytesProcessed };
  if (data.resultType !== "streams") return { type: "metrics", answer: answer(json), work };
  return { type: "lines", lines: linesOf(data.result), work };
}

/** Lines of all streams, the newest first. */
export function linesOf(streams: Stream[]): Line[] {
  const lines = streams.flatMap(({ stream, values }) => {
    const name = JSON.stringify(stream);
    return values.map((entry) => line(stream, name, entry));
  });
  // Nanoseconds of one length compare as text.
  lines.sort((a, b) => (a.key < b.key ? 1 : -1));
  return unique(lines);
}

function line(labels: Labels, stream: string, [ns, text, extra]: Entry): Line {
  const metadata = metadataOf(extra);
  const key = `${ns.padStart(NS_DIGITS, "0")} ${stream} ${text}`;
  return { key, ms: Number(ns.slice(0, -6)), text, labels, metadata };
}

const NS_DIGITS = 20;

/** The time of a line in nanoseconds, which no number holds. */
export function nsOf(line: Line): bigint {
  return BigInt(line.key.slice(0, NS_DIGITS));
}

function metadataOf(extra: Entry[2]): Labels {
  if (!extra) return {};
  if (typeof extra.structuredMetadata === "object" || typeof extra.parsed === "object") {
    return { ...(extra.structuredMetadata as Labels), ...(extra.parsed as Labels) };
  }
  return extra as Labels;
}

/** Two equal lines of one stream in one nanosecond would share a key. */
function unique(lines: Line[]): Line[] {
  const seen = new Map<string, number>();
  return lines.map((line) => {
    const n = seen.get(line.key) ?? 0;
    seen.set(line.key, n + 1);
    return n === 0 ? line : { ...line, key: `${line.key} ${n}` };
  });
}

/** The worst first. */
export const LEVELS = ["emerg", "alert", "crit", "error", "warning", "notice", "info", "debug"] as const;
export type Level = (typeof LEVELS)[number] | "unknown";

const LEVEL_NAMES: Record<string, Level> = {
  critical: "crit",
  fatal: "crit",
  err: "error",
  warn: "warning",
  trace: "debug",
};

export function levelOf(line: Line): Level {
  const all: Labels = { ...line.metadata, ...line.labels };
  const named = levelNamed(all.level ?? all.detected_level ?? "");
  return named ?? LEVELS[Number(all.PRIORITY ?? all.priority ?? NaN)] ?? "unknown";
}

export function levelNamed(name: string): Level | undefined {
  const text = name.toLowerCase();
  return LEVELS.find((level) => level === text) ?? LEVEL_NAMES[text];
}

export function hostOf(line: Line): string {
  return line.labels.host ?? line.labels.instance ?? line.labels.hostname ?? "";
}

export function unitOf(line: Line): string {
  const { unit, syslog_identifier, job } = line.labels;
  return unit ?? syslog_identifier ?? line.metadata.SYSLOG_IDENTIFIER ?? job ?? "";
}
