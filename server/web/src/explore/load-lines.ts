// Loads many lines page by page, as a query returns no more than the server's `query.lines_max`.
import { linesBetween, nsOf, type Line, type LogAnswer, type Work } from "../api/loki";

export type Order = "newest" | "oldest";

export interface Loaded {
  lines: Line[];
  work: Work;
  /** There is nothing beyond them in the range. */
  isAll: boolean;
}

/** The server's default; a server that allows fewer says how many. */
const PAGE_LINES = 5_000;
/** So few come in one answer; of more, the first soon give something to read. */
const AT_ONCE_LINES = 1_000;
const FIRST_LINES = 500;

type Span = [start: bigint, end: bigint];
export type Ask = (span: Span, limit: number, order: Order) => Promise<LogAnswer>;

/** Lines in the wanted order; a metric query's answer as it is. */
export async function loadLines(
  ask: Ask,
  [start, end]: Span,
  wanted: number,
  order: Order,
  tell: (part: Loaded) => void,
): Promise<Loaded | Extract<LogAnswer, { type: "metrics" }>> {
  let span: Span = [start, end];
  let page_max = PAGE_LINES;
  let loaded: Loaded = { lines: [], work: { lines: 0, bytes: 0 }, isAll: false };
  /** Keys of the lines at the edge, which come again with the next page. */
  let edge = new Set<string>();
  for (;;) {
    const { lines, work } = loaded;
    const n_missing = wanted - lines.length;
    const isFirst = lines.length === 0 && wanted > AT_ONCE_LINES;
    const limit = Math.min(page_max, (isFirst ? FIRST_LINES : n_missing) + edge.size);
    let answer: LogAnswer;
    try {
      answer = await ask(span, limit, order);
    } catch (error) {
      const allowed = allowedLines(error);
      if (allowed === undefined || allowed >= limit) throw error;
      page_max = allowed;
      continue;
    }
    if (answer.type === "metrics") return answer;
    const sorted = order === "newest" ? answer.lines : answer.lines.toReversed();
    const fresh = sorted.filter((line) => !edge.has(line.key)).slice(0, n_missing);
    const isAll = answer.lines.length < limit;
    loaded = {
      lines: lines.concat(fresh),
      work: { lines: work.lines + answer.work.lines, bytes: work.bytes + answer.work.bytes },
      isAll,
    };
    const last = fresh.at(-1);
    if (isAll || last === undefined || loaded.lines.length >= wanted) return loaded;
    tell(loaded);
    const at = nsOf(last);
    span = order === "newest" ? [start, at + 1n] : [at, end];
    const crowd = loaded.lines.slice(-page_max).filter((line) => nsOf(line) === at);
    edge = new Set(crowd.map((line) => line.key));
  }
}

/** What a server with a smaller `query.lines_max` names in its refusal. */
function allowedLines(error: unknown): number | undefined {
  const message = error instanceof Error ? error.message : "";
  const found = /max_entries_limit_per_query \(\d+ > (\d+)\)/.exec(message);
  return found ? Number(found[1]) : undefined;
}

export function asker(query: string, abort: AbortSignal, timeout_ms: number): Ask {
  return ([start, end], limit, order) => {
    const direction = order === "newest" ? "backward" : "forward";
    return linesBetween(query, [String(start), String(end)], limit, direction, abort, timeout_ms);
  };
}
