// Several queries of one language: which panels there are, and what the address says of each. The
// first panel's names have no number: `promql=`, then `promql2=`.
import type { Language } from "./language";

type Changes = Record<string, string | undefined>;

/** What each panel has for itself; all else is of the whole view. */
const OWN: Record<Language, string[]> = {
  promql: ["promql", "view"],
  logql: ["logql", "logview", "order", "lines", "fields"],
};
/** How many there are, where the last ones are empty. */
const COUNT: Record<Language, string> = { promql: "metrics", logql: "logs" };
/** More are more than a person compares, and than a browser asks at once. */
export const PANELS_MAX = 6;

const named = (name: string, i: number) => (i === 1 ? name : `${name}${i}`);

export function panelCount(params: URLSearchParams, language: Language): number {
  const numbers = Array.from({ length: PANELS_MAX }, (_, at) => at + 1);
  const filled = numbers.filter((i) => params.has(named(language, i)));
  const wanted = Number(params.get(COUNT[language]));
  return Math.min(PANELS_MAX, Math.max(1, ...filled, Number.isInteger(wanted) ? wanted : 1));
}

/** Panel `i`'s own part, without numbers. */
export function panelParams(params: URLSearchParams, language: Language, i: number): URLSearchParams {
  const found = OWN[language].flatMap((name) => {
    const value = params.get(named(name, i));
    return value === null ? [] : [[name, value]];
  });
  return new URLSearchParams(found);
}

/** What panel `i` changes, as the address says it. */
export function panelChanges(changes: Changes, language: Language, i: number): Changes {
  const own = OWN[language];
  const entries = Object.entries(changes).map(([name, value]) => [own.includes(name) ? named(name, i) : name, value]);
  return Object.fromEntries(entries) as Changes;
}

export function withPanel(params: URLSearchParams, language: Language): Changes {
  return { [COUNT[language]]: String(panelCount(params, language) + 1) };
}

/** Those after it move up. */
export function withoutPanel(params: URLSearchParams, language: Language, gone: number): Changes {
  const count = panelCount(params, language);
  const changes: Changes = { [COUNT[language]]: count > 2 ? String(count - 1) : undefined };
  for (let i = gone; i <= count; i += 1) {
    for (const name of OWN[language]) changes[named(name, i)] = params.get(named(name, i + 1)) ?? undefined;
  }
  return changes;
}
