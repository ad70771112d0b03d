// Loki's query API: lines with their labels and structured metadata, newest first.
import { getJson } from "./client";
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

export type LogAnswer = { type: "lines"; lines: Line[] } | { type: "metrics"; answer: Answer };

type Entry = [string, string, (Labels | { structuredMetadata?: Labels; parsed?: Labels })?];

interface Body {
  data: { resultType: string; result: { stream: Labels; values: Entry[] }[] };
}

export async function queryRange(
  query: string,
  at: Range,
  limit: number,
  abort?: AbortSignal,
): Promise<LogAnswer> {
  const { start, end, step } = at;
  const params = { query, start, end, step, limit, direction: "backward" };
  return readAnswer(await getJson("/loki/api/v1/query_range", params, abort));
}

export function readAnswer(json: unknown): LogAnswer {
  const { data } = json as Body;
  if (data.resultType !== "streams") return { type: "metrics", answer: answer(json) };
  const lines = data.result.flatMap(({ stream, values }) =>
    values.map((entry) => line(stream, entry)),
  );
  // Nanoseconds of one length compare as text.
  lines.sort((a, b) => (a.key < b.key ? 1 : -1));
  return { type: "lines", lines: unique(lines) };
}

function line(labels: Labels, [ns, text, extra]: Entry): Line {
  const metadata = metadataOf(extra);
  const key = `${ns.padStart(20, "0")} ${JSON.stringify(labels)} ${text}`;
  return { key, ms: Number(ns.slice(0, -6)), text, labels, metadata };
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

const LEVELS = ["emerg", "alert", "crit", "error", "warning", "notice", "info", "debug"] as const;
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
  const text = (all.level ?? all.detected_level ?? "").toLowerCase();
  const named = LEVELS.find((level) => level === text) ?? LEVEL_NAMES[text];
  return named ?? LEVELS[Number(all.PRIORITY ?? all.priority ?? NaN)] ?? "unknown";
}

export function hostOf(line: Line): string {
  return line.labels.host ?? line.labels.instance ?? line.labels.hostname ?? "";
}

export function unitOf(line: Line): string {
  const { unit, syslog_identifier, job } = line.labels;
  return unit ?? syslog_identifier ?? line.metadata.SYSLOG_IDENTIFIER ?? job ?? "";
}
