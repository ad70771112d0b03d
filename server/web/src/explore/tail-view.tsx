// Live tail: lines as they come, a pause to read them, and what was left out.
import { useMemo, useState } from "preact/hooks";
import { counted } from "../ui/format";
import { LineList, type LineActions } from "../ui/lines";
import { soughtBy } from "./logql-text";
import { TAIL_LINES_MAX, useTail } from "./tail";

interface Props {
  query: string;
  actions: LineActions;
}

export function TailView({ query, actions }: Props) {
  const [isPaused, setPaused] = useState(false);
  const tail = useTail(query, isPaused);
  const sought = useMemo(() => soughtBy(query), [query]);
  const { lines, state, message, n_waiting, n_dropped } = tail;
  return (
    <div class="result" data-testid="tail">
      <div class="log-tools">
        <span class="small grow" role="status">
          {state === "live" && (isPaused ? "Paused" : "Live")}
          {state === "connecting" && `Connecting… ${message && `(${message})`}`}
          {state === "ended" && `The server ended it: ${message}`}
          {n_waiting > 0 && `, ${counted(n_waiting, "line")} waiting`}
          {n_dropped > 0 && `, ${counted(n_dropped, "line")} left out: more came than could be shown`}
        </span>
        <button type="button" aria-pressed={isPaused} onClick={() => setPaused(!isPaused)}>
          {isPaused ? "Go on" : "Pause"}
        </button>
      </div>
      {lines.length === 0 && <p class="message">Lines are shown here as they come.</p>}
      {lines.length > 0 && <LineList lines={lines} sought={sought} actions={actions} label="Live lines" />}
      {lines.length >= TAIL_LINES_MAX && (
        <p class="result-note">The newest {lines.length} lines are kept.</p>
      )}
    </div>
  );
}
