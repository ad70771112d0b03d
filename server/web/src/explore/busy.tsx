// That something runs, and for how long; nothing for what is there in a moment.
import { useEffect, useState } from "preact/hooks";

/** What is there in a moment needs no word, which would only flash. */
const PATIENCE_MS = 300;

interface Props {
  what: string;
  /** Above an answer that is there already, and must not move. */
  isOver?: boolean;
}

export function Busy({ what, isOver = false }: Props) {
  const [seconds, setSeconds] = useState(0);
  const [isLong, setLong] = useState(false);
  useEffect(() => {
    const timer = setTimeout(() => setLong(true), PATIENCE_MS);
    return () => clearTimeout(timer);
  }, []);
  useEffect(() => {
    const started = performance.now();
    const timer = setInterval(() => setSeconds(Math.floor((performance.now() - started) / 1000)), 1000);
    return () => clearInterval(timer);
  }, []);
  if (!isLong) return null;
  return (
    <p class={isOver ? "result-note busy over" : "result-note busy"} role="status">
      {what}…{seconds > 0 && <span class="num"> {seconds} s</span>}
    </p>
  );
}
