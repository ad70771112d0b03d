// Runs one query at a time: a new one, or Cancel, ends the one before, in the server, too.
import { useCallback, useEffect, useRef, useState } from "preact/hooks";

export interface Asked<T> {
  state: "idle" | "busy" | "done" | "failed";
  /** The newest there is: of the query before, while this one is busy. */
  answer: T | undefined;
  /** What went wrong. */
  message: string;
  took_ms: number;
}

const IDLE = { state: "idle", answer: undefined, message: "", took_ms: 0 } as const;

export function useQuery<T>(
  /** Runs when it changes; empty runs nothing. */
  key: string,
  /** May tell a part of the answer before all of it is there. */
  ask: (abort: AbortSignal, tell: (part: T) => void) => Promise<T>,
) {
  const [asked, setAsked] = useState<Asked<T>>(IDLE);
  const running = useRef<AbortController>();
  const latest = useRef(ask);
  latest.current = ask;

  const cancel = useCallback(() => {
    running.current?.abort();
    setAsked((old) => ({ ...old, state: old.answer === undefined ? "idle" : "done" }));
  }, []);

  const run = useCallback(async () => {
    running.current?.abort();
    const abort = new AbortController();
    running.current = abort;
    setAsked((old) => ({ ...old, state: "busy", message: "" }));
    const started = performance.now();
    const tell = (answer: T, state: "busy" | "done") => {
      const took_ms = performance.now() - started;
      if (!abort.signal.aborted) setAsked({ state, answer, message: "", took_ms });
    };
    try {
      tell(await latest.current(abort.signal, (part) => tell(part, "busy")), "done");
    } catch (error) {
      if (abort.signal.aborted) return;
      setAsked({ ...IDLE, state: "failed", message: (error as Error).message });
    }
  }, []);

  useEffect(() => {
    if (key === "") {
      running.current?.abort();
      setAsked(IDLE);
      return;
    }
    void run();
    return () => running.current?.abort();
  }, [key]);

  return { asked, run, cancel };
}
