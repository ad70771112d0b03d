// Live tail: Loki's WebSocket, bounded in what it keeps, and honest about what it left out.
import { useEffect, useRef, useState } from "preact/hooks";
import { linesOf, type Line, type Stream } from "../api/loki";
import { labelNames } from "../api/loki-labels";
import { selectorOf } from "./logql-text";

export interface Tail {
  lines: Line[];
  state: "connecting" | "live" | "ended";
  /** Why it ended, or why it is tried again. */
  message: string;
  /** Lines that came while it was paused and wait for that to end. */
  n_waiting: number;
  /** Lines that the server, or a long pause, left out. */
  n_dropped: number;
}

/** The newest are kept, on the page and in a pause. */
export const TAIL_LINES_MAX = 5_000;
/** Lines of before, so that there is something to see at once. */
const PAST_LINES = 100;
const PAST_MS = 600_000;
/** More often nobody can read. */
const SHOW_MS = 250;
const RECENT_LINES = 500;
const RETRY_MS_MAX = 30_000;

const START: Tail = { lines: [], state: "connecting", message: "", n_waiting: 0, n_dropped: 0 };

interface Frame {
  streams?: Stream[] | null;
  dropped_entries?: unknown[] | null;
}

/** Lines of `query` from now on, the newest first; an empty query ends it. */
export function useTail(query: string, isPaused: boolean): Tail {
  const [tail, setTail] = useState(START);
  const paused = useRef(isPaused);
  paused.current = isPaused;
  useEffect(() => {
    setTail(START);
    if (query === "") return;
    return follow(query, (change) => setTail((old) => change(old)), () => paused.current);
  }, [query]);
  return tail;
}

function follow(query: string, change: (by: (old: Tail) => Tail) => void, isPaused: () => boolean) {
  let waiting: Line[] = [];
  let n_dropped = 0;
  let n_failed = 0;
  let isOver = false;
  let socket: WebSocket | undefined;
  let retry: ReturnType<typeof setTimeout> | undefined;
  let since_ms = Date.now() - PAST_MS;
  /** After a lost connection the lines of its last millisecond come again. */
  let recent = new Set<string>();
  let labels: Set<string> | undefined;

  const show = () => {
    const [n_waiting, n_lost] = [waiting.length, n_dropped];
    if (isPaused()) {
      change((old) =>
        old.n_waiting === n_waiting && old.n_dropped === n_lost
          ? old
          : { ...old, n_waiting, n_dropped: n_lost },
      );
      return;
    }
    const fresh = waiting;
    waiting = [];
    change((old) => {
      if (fresh.length === 0 && old.n_waiting === 0 && old.n_dropped === n_lost) return old;
      const lines = [...fresh, ...old.lines].slice(0, TAIL_LINES_MAX);
      return { ...old, lines, n_waiting: 0, n_dropped: n_lost };
    });
  };

  const take = (frame: Frame) => {
    n_dropped += frame.dropped_entries?.length ?? 0;
    const all = linesOf(frame.streams ?? []).filter((line) => !recent.has(line.key));
    const fresh = all.map((line) => split(line, labels));
    since_ms = Math.max(since_ms, fresh[0]?.ms ?? 0);
    recent = new Set([...recent, ...fresh.map((line) => line.key)].slice(-RECENT_LINES));
    waiting = fresh.concat(waiting);
    n_dropped += Math.max(0, waiting.length - TAIL_LINES_MAX);
    waiting.length = Math.min(waiting.length, TAIL_LINES_MAX);
  };

  const open = () => {
    const params = new URLSearchParams({ query, limit: String(PAST_LINES), start: `${since_ms}000000` });
    const scheme = location.protocol === "https:" ? "wss:" : "ws:";
    const opened = new WebSocket(`${scheme}//${location.host}/loki/api/v1/tail?${params}`);
    socket = opened;
    let wasOpen = false;
    opened.onopen = () => {
      wasOpen = true;
      n_failed = 0;
      change((old) => ({ ...old, state: "live", message: "" }));
    };
    opened.onmessage = (event) => take(JSON.parse(String(event.data)) as Frame);
    opened.onclose = ({ code, reason }) => {
      if (socket !== opened) return;
      const isRefused = code === 1011 && reason !== "reached tail max duration limit";
      if (isRefused) return change((old) => ({ ...old, state: "ended", message: reason }));
      n_failed += 1;
      const pause_ms = Math.min(RETRY_MS_MAX, 500 * 2 ** n_failed);
      retry = setTimeout(open, pause_ms);
      const message = wasOpen ? "the connection was lost" : "the server does not take the connection";
      change((old) => ({ ...old, state: "connecting", message }));
    };
  };

  const timer = setInterval(show, SHOW_MS);
  // A tail tells all labels alike; their names tell them from metadata.
  labelNames(selectorOf(query) ?? "{}")
    .then((names) => {
      labels = new Set(names);
    })
    .catch(() => undefined)
    .finally(() => {
      if (!isOver) open();
    });
  return () => {
    const last = socket;
    socket = undefined;
    clearInterval(timer);
    clearTimeout(retry);
    isOver = true;
    last?.close();
  };
}

export function split(line: Line, labels: ReadonlySet<string> | undefined): Line {
  if (!labels) return line;
  const all = Object.entries(line.labels);
  return {
    ...line,
    labels: Object.fromEntries(all.filter(([name]) => labels.has(name))),
    metadata: Object.fromEntries(all.filter(([name]) => !labels.has(name))),
  };
}
