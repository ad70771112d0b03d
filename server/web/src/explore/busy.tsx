// That something runs, and for how long; nothing for what is there in a moment.
import { useEffect, useState } from "preact/hooks";

export function Busy({ what }: { what: string }) {
  const [seconds, setSeconds] = useState(0);
  useEffect(() => {
    const started = performance.now();
    const timer = setInterval(() => setSeconds(Math.floor((performance.now() - started) / 1000)), 1000);
    return () => clearInterval(timer);
  }, []);
  return (
    <p class="result-note busy" role="status">
      {what}…{seconds > 0 && <span class="num"> {seconds} s</span>}
    </p>
  );
}
