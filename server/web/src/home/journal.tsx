// The newest lines of every journal, with a filter, refreshed until somebody wants to read.
import { useRef, useState } from "preact/hooks";
import { Away } from "../api/client";
import type { Line } from "../api/loki";
import { usePoll } from "../api/poll";
import { FindBox } from "../ui/find-box";
import { LineList } from "../ui/lines";
import { Trouble } from "../ui/trouble";
import { journalQuery, NewestLines } from "./newest-lines";

const REFRESH_MS = 5_000;
const LEVELS: Record<string, string> = {
  "": "all levels",
  "emerg|alert|crit|error|err": "errors",
  "emerg|alert|crit|error|err|warning|warn": "warnings and errors",
};

export function Journal({ search }: { search: string }) {
  const [text, setText] = useState("");
  const [levels, setLevels] = useState("");
  const [isPaused, setPaused] = useState(false);
  const query = journalQuery(search.trim(), text.trim(), levels);
  const newest = useRef<NewestLines>();
  const { data: lines, error } = usePoll<Line[]>(
    query,
    REFRESH_MS,
    (abort) => {
      if (newest.current?.query !== query) newest.current = new NewestLines(query);
      return newest.current.ask(Date.now(), abort);
    },
    isPaused,
  );
  return (
    <section class="panel journal" aria-label="Journal">
      <div class="panel-head">
        <h2 class="grow">Newest journal lines</h2>
        <FindBox label="Lines containing" placeholder="Lines containing…" text={text} setText={setText} />
        <select
          aria-label="Level"
          value={levels}
          onChange={(event) => setLevels(event.currentTarget.value)}
        >
          {Object.entries(LEVELS).map(([pattern, name]) => (
            <option key={pattern} value={pattern}>
              {name}
            </option>
          ))}
        </select>
        <button type="button" aria-pressed={isPaused} onClick={() => setPaused(!isPaused)}>
          {isPaused ? "Go on" : "Pause"}
        </button>
      </div>
      <Trouble error={error} />
      {!lines && (!error || error instanceof Away) && <p class="message">Asking for the lines…</p>}
      {lines && lines.length === 0 && (
        <p class="message">
          {text || levels || search
            ? "No line of the last 6 hours fits the filter."
            : "No journal line in the last 6 hours. An agent with the journal source sends them."}
        </p>
      )}
      {lines && lines.length > 0 && <LineList lines={lines} />}
    </section>
  );
}
