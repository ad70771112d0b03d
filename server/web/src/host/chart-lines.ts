// The lines of a chart: asked for in one question, told apart in its answer.
import type { Labels, Series } from "../api/prometheus";
import type { ChartSpec, Query } from "./charts";
import type { Scope } from "./scope";

/** Tells the lines of a chart apart that come in one answer. */
const LINE = "chart_line";

/** All lines of a chart in one question. */
export function questionOf({ queries }: ChartSpec, scope: Scope): string {
  const marked = queries.map(({ text }, i) => `label_replace(${text(scope)}, "${LINE}", "${i}", "", "")`);
  return marked.join(" or ");
}

export interface Line {
  name: string;
  colour: string;
  series: Series;
  query: Query;
}

/** More cannot be told apart; the highest are drawn. */
const LINES_MAX = 8;

/** The lines of an answer to it that have something to show, in the order of the queries. */
export function linesOf({ queries, isStacked }: ChartSpec, answer: Series[]): Line[] {
  const found = queries.flatMap((query, i) => {
    const own = answer.filter(({ labels }) => labels[LINE] === String(i));
    const named = own.map((series) => ({ query, series, name: nameOf(query, series.labels) }));
    return query.names ? named.sort((a, b) => place(query, a.name) - place(query, b.name)) : named;
  });
  const finite = found.filter(({ series }) => series.values.some(Number.isFinite));
  // An interface that is not used, a mode that never occurs: nobody looks for them.
  const busy = finite.filter(({ series }) => series.values.some((value) => value > 0 || value < 0));
  const told = busy.length > 0 ? busy : finite.slice(0, 1);
  return (isStacked ? told : highest(told)).map((line, i) => ({ ...line, colour: colour(line, i) }));
}

function nameOf({ name }: Query, labels: Labels): string {
  return typeof name === "string" ? name : name(labels);
}

function place({ names = [] }: Query, name: string): number {
  return names.includes(name) ? names.indexOf(name) : names.length;
}

function colour({ query, name }: { query: Query; name: string }, i: number): string {
  return query.colours?.[place(query, name)] ?? query.colour ?? `--chart-${(i % N_COLOURS) + 1}`;
}

const N_COLOURS = 8;

function highest<T extends { series: Series }>(all: T[]): T[] {
  if (all.length <= LINES_MAX) return all;
  const top = ({ series }: T) => Math.max(...series.values.filter(Number.isFinite));
  const kept = new Set([...all].sort((a, b) => top(b) - top(a)).slice(0, LINES_MAX));
  return all.filter((it) => kept.has(it));
}
