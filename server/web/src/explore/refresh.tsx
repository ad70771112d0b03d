// Runs the queries again every so often while somebody looks.
import { useEffect, useState } from "preact/hooks";

const CHOICES: [string, number][] = [
  ["", 0],
  ["10s", 10],
  ["30s", 30],
  ["1m", 60],
  ["5m", 300],
];

export function refreshOf(query: URLSearchParams): number {
  return CHOICES.find(([name]) => name === query.get("refresh"))?.[1] ?? 0;
}

/** A number that changes every `seconds`; zero holds it. */
export function useTick(seconds: number): number {
  const [tick, setTick] = useState(0);
  useEffect(() => {
    if (seconds === 0) return;
    const timer = setInterval(() => {
      if (!document.hidden) setTick((n) => n + 1);
    }, seconds * 1000);
    return () => clearInterval(timer);
  }, [seconds]);
  return tick;
}

interface Props {
  seconds: number;
  isOff: boolean;
  change: (changes: Record<string, string | undefined>) => void;
}

export function RefreshPicker({ seconds, isOff, change }: Props) {
  return (
    <select
      aria-label="Refresh"
      title={isOff ? "Only ranges up to now are refreshed" : "Refresh"}
      disabled={isOff}
      value={CHOICES.find((it) => it[1] === seconds)?.[0] ?? ""}
      onChange={(event) => change({ refresh: event.currentTarget.value })}
    >
      {CHOICES.map(([name]) => (
        <option key={name} value={name}>
          {name === "" ? "no refresh" : `every ${name}`}
        </option>
      ))}
    </select>
  );
}
