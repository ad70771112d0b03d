// Addresses of hosts and their units, and what of a view stands in them.
import type { Span } from "../chart/selection";

export interface Place {
  host: string;
  unit?: string;
}

/** `/host/NAME` or `/host/NAME/unit/UNIT`; nothing where the path is no host's. */
export function placeOf(path: string): Place | undefined {
  const [, root, host, kind, unit, ...more] = path.split("/");
  if (root !== "host" || !host || more.length > 0) return undefined;
  if (kind === undefined || kind === "") return { host: decoded(host) };
  return kind === "unit" && unit ? { host: decoded(host), unit: decoded(unit) } : undefined;
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

export function hostHref(host: string, query: URLSearchParams = new URLSearchParams()): string {
  return withQuery(`/host/${encodeURIComponent(host)}`, query);
}

export function unitHref(host: string, unit: string, query = new URLSearchParams()): string {
  return withQuery(`/host/${encodeURIComponent(host)}/unit/${encodeURIComponent(unit)}`, query);
}

function withQuery(path: string, query: URLSearchParams): string {
  const text = query.toString();
  return text === "" ? path : `${path}?${text}`;
}

/** The query with some of its parts changed; undefined takes a part away. */
export function changed(query: URLSearchParams, changes: Record<string, string | undefined>) {
  const next = new URLSearchParams(query);
  for (const [name, value] of Object.entries(changes)) {
    if (value === undefined || value === "") next.delete(name);
    else next.set(name, value);
  }
  return next;
}

/** The part of the query that stays on the way to another view of the same time. */
export function rangeOnly(query: URLSearchParams): URLSearchParams {
  const kept = ["range", "from", "to"].flatMap((name) => {
    const value = query.get(name);
    return value === null ? [] : [[name, value]];
  });
  return new URLSearchParams(kept);
}

/** The span that is marked: `a=` and `b=` in seconds. */
export function spanOf(query: URLSearchParams): Span | undefined {
  const [from, to] = [Number(query.get("a")), Number(query.get("b"))];
  return from > 0 && to > from ? { from, to } : undefined;
}

/** Two samples of an agent's usual 15 s, twice: a rate needs at least two. */
const SPAN_MIN_S = 60;
const GRID_S = 15;

/** As it is asked about: on the grid, and no shorter than a rate needs. */
export function measurable({ from, to }: Span): Span {
  const short = Math.max(0, SPAN_MIN_S - (to - from)) / 2;
  return {
    from: Math.floor((from - short) / GRID_S) * GRID_S,
    to: Math.ceil((to + short) / GRID_S) * GRID_S,
  };
}
