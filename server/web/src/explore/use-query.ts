// Runs one query at a time: a new one, or Cancel, ends the one before.
import { useCallback, useEffect, useRef, useState } from "preact/hooks";

export type Asked<T> =
  | { state: "idle" }
  | { state: "busy" }
  | { state: "done"; answer: T; took_ms: number }
  | { state: "failed"; message: string };

export function useQuery<T>(
  /** Runs when it changes; empty runs nothing. */
  key: string,
  ask: (abort: AbortSignal) => Promise<T>,
) {
  const [asked, setAsked] = useState<Asked<T>>({ state: "idle" });
  const running = useRef<AbortController>();
  const latest = useRef(ask);
  latest.current = ask;

  const cancel = useCallback(() => {
    running.current?.abort();
    setAsked({ state: "idle" });
  }, []);

  const run = useCallback(async () => {
    running.current?.abort();
    const abort = new AbortController();
    running.current = abort;
    setAsked({ state: "busy" });
    const started = performance.now();
    try {
      const answer = await latest.current(abort.signal);
      if (abort.signal.aborted) return;
      setAsked({ state: "done", answer, took_ms: performance.now() - started });
    } catch (error) {
      if (!abort.signal.aborted) setAsked({ state: "failed", message: (error as Error).message });
    }
  }, []);

  useEffect(() => {
    if (key === "") return;
    void run();
    return () => running.current?.abort();
  }, [key]);

  return { asked, run, cancel };
}
