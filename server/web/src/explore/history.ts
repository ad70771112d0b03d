// Queries that were run, kept in this browser: each once, the newest first, starred ones for ever.
import type { Language } from "./language";

export interface Past {
  language: Language;
  query: string;
  /** Milliseconds, of the last time. */
  at: number;
  isStarred: boolean;
}

const KEY = "skep-history";
/** Of those without a star. */
const PAST_MAX = 200;

const isSame = (a: Past, language: Language, query: string) =>
  a.language === language && a.query === query;

export function added(all: Past[], language: Language, query: string, now: number): Past[] {
  const isStarred = all.some((it) => isSame(it, language, query) && it.isStarred);
  const rest = all.filter((it) => !isSame(it, language, query));
  let n_plain = 0;
  return [{ language, query, at: now, isStarred }, ...rest].filter((it) => {
    if (!it.isStarred) n_plain += 1;
    return it.isStarred || n_plain <= PAST_MAX;
  });
}

export function starred(all: Past[], one: Past): Past[] {
  return all.map((it) =>
    isSame(it, one.language, one.query) ? { ...it, isStarred: !it.isStarred } : it,
  );
}

export function removed(all: Past[], one: Past): Past[] {
  return all.filter((it) => !isSame(it, one.language, one.query));
}

/** Those that hold every word, starred ones first. */
export function found(all: Past[], language: Language, search: string): Past[] {
  const words = search.toLowerCase().split(/\s+/);
  const fits = all.filter((it) => {
    const text = it.query.toLowerCase();
    return it.language === language && words.every((word) => text.includes(word));
  });
  return [...fits.filter((it) => it.isStarred), ...fits.filter((it) => !it.isStarred)];
}

/** What somebody else left in the storage is not taken over. */
export function read(text: string | null): Past[] {
  try {
    const all: unknown = JSON.parse(text ?? "[]");
    return Array.isArray(all) ? all.filter(isPast) : [];
  } catch {
    return [];
  }
}

function isPast(it: unknown): it is Past {
  const { language, query, at, isStarred } = (it ?? {}) as Record<string, unknown>;
  const isKnown = language === "promql" || language === "logql";
  return isKnown && typeof query === "string" && typeof at === "number" && typeof isStarred === "boolean";
}

export function load(): Past[] {
  return read(localStorage.getItem(KEY));
}

export function store(all: Past[]) {
  try {
    localStorage.setItem(KEY, JSON.stringify(all));
  } catch {
    // A full or forbidden storage: the history is lost, the query is not.
  }
}
