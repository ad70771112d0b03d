// The newest lines of the journals: once all of them, then only what is new.
import { queryRange, type Line } from "../api/loki";

/** Where lines come thick and fast, the newest are all in here. */
const NARROW_S = 15 * 60;
/** Asked for only when the narrow window holds less than a screen. */
const WIDE_S = 6 * 3600;
const SCREEN_LINES = 30;
const LINES_MAX = 100;
/** Lines of a host that is slow to send lie behind the newest of another. */
const OVERLAP_MS = 15_000;
/** What comes later still is found by asking for all again. */
const WHOLE_MS = 60_000;
/** A host whose clock is a little ahead shows its lines, too. */
const AHEAD_S = 5;

export function journalQuery(host: string, text: string, levels: string): string {
  const selectors = ['job="systemd-journal"'];
  if (host) selectors.push(`host=~${quoted(`(?i).*${escapeRegex(host)}.*`)}`);
  if (levels) selectors.push(`level=~${quoted(levels)}`);
  const filter = text ? ` |~ ${quoted(`(?i)${escapeRegex(text)}`)}` : "";
  return `{${selectors.join(", ")}}${filter}`;
}

function escapeRegex(text: string): string {
  return text.replace(/[\\^$.*+?()[\]{}|]/g, "\\$&");
}

function quoted(text: string): string {
  return `"${text.replaceAll("\\", "\\\\").replaceAll('"', '\\"')}"`;
}

export type Ask = (query: string, start_s: number, end_s: number, abort: AbortSignal) => Promise<Line[]>;

export class NewestLines {
  private lines: Line[] = [];
  private whole_ms = -Infinity;

  constructor(
    readonly query: string,
    private readonly linesOf: Ask = linesWithin,
  ) {}

  /** The newest lines there are now, the newest first. */
  async ask(now_ms: number, abort: AbortSignal): Promise<Line[]> {
    const end_s = Math.ceil(now_ms / 1000) + AHEAD_S;
    const within = (seconds: number) => this.linesOf(this.query, end_s - seconds, end_s, abort);
    if (now_ms - this.whole_ms < WHOLE_MS) {
      // A clock that is ahead must not hide what comes with the right time.
      const since_ms = Math.min(this.lines[0]?.ms ?? this.whole_ms, now_ms) - OVERLAP_MS;
      const added = await within(Math.min(NARROW_S, end_s - Math.floor(since_ms / 1000)));
      this.lines = merged(this.lines, added);
      return this.lines;
    }
    const narrow = await within(NARROW_S);
    this.lines = narrow.length < SCREEN_LINES ? await within(WIDE_S) : narrow;
    this.whole_ms = now_ms;
    return this.lines;
  }
}

/** The same list if nothing is new, so that nothing is drawn anew. */
export function merged(old: Line[], added: Line[]): Line[] {
  const known = new Set(old.map((it) => it.key));
  const fresh = added.filter((it) => !known.has(it.key));
  if (fresh.length === 0) return old;
  const all = [...fresh, ...old].sort((a, b) => (a.key < b.key ? 1 : -1));
  return all.slice(0, LINES_MAX);
}

async function linesWithin(query: string, start: number, end: number, abort: AbortSignal): Promise<Line[]> {
  const answer = await queryRange(query, { start, end, step: end - start }, LINES_MAX, abort);
  return answer.type === "lines" ? answer.lines : [];
}
