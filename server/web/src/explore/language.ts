// The two query languages, and where an error of the server points to in a text.
export type Language = "promql" | "logql";

export const LANGUAGE_NAMES: Record<Language, string> = { promql: "PromQL", logql: "LogQL" };

/** `1:6: parse error` of Prometheus, `line 1, col 20` of Loki; both count from 1. */
export function faultPlace(text: string, message: string): number | undefined {
  const found = /\b(\d+):(\d+): /.exec(message) ?? /line (\d+), col (\d+)/.exec(message);
  if (!found) return undefined;
  const [, line, column] = found.map(Number);
  if (!line || !column) return undefined;
  const before = text.split("\n").slice(0, line - 1);
  if (before.length < line - 1) return undefined;
  const start = before.reduce((sum, it) => sum + it.length + 1, 0);
  return Math.min(start + column - 1, text.length);
}
