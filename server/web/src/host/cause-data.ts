// What is asked to name the cause of a rise: uses of units, waits, other hosts, kernel events.
import { queryRange, type Line } from "../api/loki";
import { instant, last, type Series } from "../api/prometheus";
import type { Span } from "../chart/selection";
import { programsOf, type Program } from "./programs";
import { rank, usesOf, type Ranking, type Use } from "./ranking";
import { before, peersQuery, RESOURCES, type ResourceId } from "./resources";
import { quoted } from "./scope";

export interface Findings {
  ranking: Ranking;
  /** Who waited, the one that waited most first. */
  waits: Use[];
  /** Other hosts, by the rise of the bytes between them and this one. */
  peers: Ranking | undefined;
}

/** Waiting for less than this part of the time is usual. */
const WAIT_MIN = 0.005;

export async function findings(
  host: string,
  span: Span,
  id: ResourceId,
  abort: AbortSignal,
): Promise<Findings> {
  const resource = RESOURCES[id];
  const seconds = span.to - span.from;
  const base = before(span).to;
  const at = async (query: string | undefined, time: number): Promise<Series[]> =>
    query === undefined ? [] : (await instant(query, time, abort)).series;
  const both = (query: string | undefined) => Promise.all([at(query, span.to), at(query, base)]);
  const isNetwork = id === "network";
  const [uses, whole, waits, peers] = await Promise.all([
    both(resource.uses(host, seconds)),
    both(resource.host(host, seconds)),
    both(resource.waits?.(host, seconds)),
    both(isNetwork ? peersQuery(host, seconds) : undefined),
  ]);
  const rise = last(whole[0][0]) - last(whole[1][0]);
  const waiting = usesOf(...waits).filter((it) => it.now > WAIT_MIN && it.now > it.before);
  waiting.sort((a, b) => b.now - b.before - (a.now - a.before));
  const named = peers.map((all) => all.map(asUnit)) as [Series[], Series[]];
  return {
    ranking: rank(usesOf(...uses), rise),
    waits: waiting,
    peers: isNetwork ? rank(usesOf(...named), NaN) : undefined,
  };
}

/** Peers are ranked as units are. */
function asUnit(series: Series): Series {
  return { ...series, labels: { unit: series.labels.peer ?? "" } };
}

const EVENTS_MAX = 2000;

export async function programs(host: string, span: Span, abort: AbortSignal): Promise<Program[]> {
  const query = `{source="kernel", host=${quoted(host)}, event=~"exec|exit"}`;
  return programsOf(await lines(query, span, EVENTS_MAX, abort));
}

export const LINES_MAX = 500;

/** Lines of a unit without the kernel's note of each program that it runs; of the kernel itself
 * without a unit: its messages, kills and signals. */
export async function linesOf(
  host: string,
  unit: string | undefined,
  span: Span,
  abort: AbortSignal,
): Promise<Line[]> {
  const queries = linesQueries(host, unit);
  const found = await Promise.all(queries.map((query) => lines(query, span, LINES_MAX, abort)));
  return found.flat().sort((a, b) => (a.key < b.key ? 1 : -1)).slice(0, LINES_MAX);
}

export function linesQueries(host: string, unit: string | undefined): string[] {
  const of = `host=${quoted(host)}`;
  if (unit !== undefined) return [`{${of}, unit=${quoted(unit)}, event!~"exec|exit"}`];
  return [`{${of}, source="kernel", event=~"oom|signal"}`, `{${of}, transport="kernel"}`];
}

async function lines(query: string, { from, to }: Span, max: number, abort: AbortSignal) {
  const answer = await queryRange(query, { start: from, end: to, step: to - from }, max, abort);
  return answer.type === "lines" ? answer.lines : [];
}

/** Lines by level over the span, for the bars above them. */
export async function volumeOf(
  host: string,
  unit: string | undefined,
  { from, to }: Span,
  abort: AbortSignal,
): Promise<Series[]> {
  const step = Math.max(1, Math.ceil((to - from) / BARS));
  // A point counts what lies before it: the first bar ends a step after the beginning.
  const at = { start: from + step, end: from + step * Math.ceil((to - from) / step), step };
  const answers = await Promise.all(
    linesQueries(host, unit).map((query) => {
      const counted = `sum by (level, detected_level) (count_over_time(${query}[${step}s]))`;
      return queryRange(counted, at, 1, abort);
    }),
  );
  return answers.flatMap((it) => (it.type === "metrics" ? it.answer.series : []));
}

const BARS = 40;
