// Addresses of views that administrators are led to.
import { quoted } from "../host/scope";

/** The explorer of cardinality at a metric, and at one of its labels. */
export function cardinalityHref(metric?: string, label?: string): string {
  const query = new URLSearchParams();
  if (metric !== undefined) query.set("metric", metric);
  if (label !== undefined) query.set("label", label);
  return query.size > 0 ? `/admin/cardinality?${query}` : "/admin/cardinality";
}

/** A selector by metric and labels; names that PromQL cannot write bare are quoted. */
export function selector(metric: string | undefined, labels: Record<string, string>): string {
  const isBare = metric !== undefined && /^[a-zA-Z_:][a-zA-Z0-9_:]*$/.test(metric);
  const pairs = Object.entries(labels).map(([name, value]) => {
    const key = /^[a-zA-Z_][a-zA-Z0-9_]*$/.test(name) ? name : quoted(name);
    return `${key}=${quoted(value)}`;
  });
  if (metric !== undefined && !isBare) pairs.unshift(quoted(metric));
  return `${isBare ? metric : ""}${pairs.length > 0 ? `{${pairs.join(",")}}` : ""}`;
}

interface Asked {
  language: string;
  query: string;
  span?: { start_ms: number; end_ms: number } | null;
}

/** Around an instant query, so that there is something to see. */
const AROUND_MS = 1_800_000;

/** Explore with this query; undefined for a language that it does not speak. */
export function exploreHref({ language, query, span }: Asked): string | undefined {
  if (language !== "promql" && language !== "logql") return undefined;
  const params = new URLSearchParams({ [language]: query });
  if (span) {
    const isInstant = span.start_ms === span.end_ms;
    params.set("from", String(span.start_ms - (isInstant ? AROUND_MS : 0)));
    params.set("to", String(span.end_ms));
  }
  return `/explore?${params}`;
}
