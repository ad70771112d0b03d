// The newest lines of every journal, with a filter, refreshed until somebody wants to read.
import { useState } from "preact/hooks";
import { Away } from "../api/client";
import { queryRange, type Line } from "../api/loki";
import { usePoll } from "../api/poll";
import { LineList } from "../ui/lines";
import { Trouble } from "../ui/trouble";

const REFRESH_MS = 2_500;
/** Where lines come thick and fast, the newest are all in here. */
const NARROW_S = 15 * 60;
/** Asked for only when the narrow window holds less than a screen. */
const WIDE_S = 6 * 3600;
const SCREEN_LINES = 30;
const LINES_MAX = 100;
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
  const { data: lines, error } = usePoll(query, REFRESH_MS, (abort) => newest(query, abort), isPaused);
  return (
    <section class="panel journal" aria-label="Journal">
      <div class="panel-head">
        <h2 class="grow">Newest journal lines</h2>
        <input
          type="search"
          aria-label="Lines containing"
          placeholder="Lines containing…"
          value={text}
          onInput={(event) => setText(event.currentTarget.value)}
        />
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

function journalQuery(host: string, text: string, levels: string): string {
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

async function newest(query: string, abort: AbortSignal): Promise<Line[]> {
  const lines = await within(NARROW_S, query, abort);
  return lines.length < SCREEN_LINES ? within(WIDE_S, query, abort) : lines;
}

async function within(seconds: number, query: string, abort: AbortSignal): Promise<Line[]> {
  // A host whose clock is a little ahead shows its lines, too.
  const end = Math.ceil(Date.now() / 1000) + 5;
  const at = { start: end - seconds, end, step: seconds };
  const answer = await queryRange(query, at, LINES_MAX, abort);
  return answer.type === "lines" ? answer.lines : [];
}
