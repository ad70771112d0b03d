// Asks again and again while somebody looks, and keeps the last good answer while it fails.
import { useEffect, useRef, useState } from "preact/hooks";

export interface Polled<T> {
  data: T | undefined;
  error: Error | undefined;
}

/** After this many intervals of failures the pause stops growing. */
const BACKOFF_MAX = 6;

/** A second before a step of the server's time ends, most of what belongs to it is there. */
const EARLY_MS = 1_000;

/** Until the next moment at which all tabs ask, so that the server works once for all of them; not
 * so soon that the last answer is still new. */
export function pauseMs(nowMs: number, intervalMs: number): number {
  const left = intervalMs - ((nowMs + EARLY_MS) % intervalMs);
  return left < intervalMs / 2 ? left + intervalMs : left;
}

/** Calls `ask` about every `intervalMs` while the tab is visible; at once when `key` changes. While
 * `isPaused`, what was there stays. */
export function usePoll<T>(
  key: string,
  intervalMs: number,
  ask: (abort: AbortSignal) => Promise<T>,
  isPaused = false,
): Polled<T> {
  const [state, setState] = useState<Polled<T>>({ data: undefined, error: undefined });
  const latest = useRef(ask);
  latest.current = ask;
  useEffect(() => {
    if (isPaused) return;
    const abort = new AbortController();
    let timer: ReturnType<typeof setTimeout> | undefined;
    let busy = false;
    let n_failed = 0;
    const run = async () => {
      clearTimeout(timer);
      if (busy || document.hidden) return;
      busy = true;
      try {
        const data = await latest.current(abort.signal);
        if (!abort.signal.aborted) setState({ data, error: undefined });
        n_failed = 0;
      } catch (error) {
        if (abort.signal.aborted) return;
        setState((old) => ({ data: old.data, error: error as Error }));
        n_failed = Math.min(n_failed + 1, BACKOFF_MAX);
      } finally {
        busy = false;
      }
      if (abort.signal.aborted) return;
      const more = intervalMs * Math.max(0, n_failed - 1);
      timer = setTimeout(run, pauseMs(Date.now(), intervalMs) + more);
    };
    void run();
    document.addEventListener("visibilitychange", run);
    return () => {
      abort.abort();
      clearTimeout(timer);
      document.removeEventListener("visibilitychange", run);
    };
  }, [key, intervalMs, isPaused]);
  return state;
}
