// Chooses the range of time: up to now in one click, or from and to as they are typed.
import { useState } from "preact/hooks";
import "./range-picker.css";
import { PRESETS, rangeName, type TimeRange } from "./range";
import { agoOf, timeOf, timeText } from "./time-text";

interface Props {
  range: TimeRange;
  change: (changes: Record<string, string | undefined>) => void;
}

export function RangePicker({ range, change }: Props) {
  const [isOpen, setOpen] = useState(!isPreset(range));
  return (
    <div class="range-picker">
      <div class="segmented" role="group" aria-label="Time range">
        {PRESETS.map(([name, seconds]) => (
          <button
            key={name}
            type="button"
            aria-pressed={range.kind === "last" && range.seconds === seconds}
            onClick={() => {
              setOpen(false);
              change({ range: name, from: undefined, to: undefined });
            }}
          >
            {name}
          </button>
        ))}
        <button
          type="button"
          aria-pressed={!isPreset(range)}
          aria-expanded={isOpen}
          onClick={() => setOpen(!isOpen)}
        >
          Custom
        </button>
      </div>
      {isOpen && <Custom range={range} change={change} />}
    </div>
  );
}

function isPreset(range: TimeRange): boolean {
  return range.kind === "last" && PRESETS.some(([, seconds]) => seconds === range.seconds);
}

const HINT = "now-90m, 14:00 or 2026-11-23 14:00";

function Custom({ range, change }: Props) {
  const isFixed = range.kind === "fixed";
  const [from, setFrom] = useState(isFixed ? timeText(range.from) : `now-${rangeName(range.seconds)}`);
  const [to, setTo] = useState(isFixed ? timeText(range.to) : "now");
  const [fault, setFault] = useState("");
  const apply = (event: Event) => {
    event.preventDefault();
    const chosen = chosenOf(from, to, Date.now());
    if (typeof chosen === "string") setFault(chosen);
    else change(chosen);
  };
  const field = (label: string, value: string, set: (text: string) => void) => (
    <label>
      {label}{" "}
      <input
        type="text"
        required
        autocomplete="off"
        autocapitalize="none"
        spellcheck={false}
        title={HINT}
        value={value}
        aria-invalid={fault !== ""}
        aria-describedby="range-fault"
        onInput={(event) => {
          setFault("");
          set(event.currentTarget.value);
        }}
      />
    </label>
  );
  return (
    <form class="custom" onSubmit={apply}>
      {field("From", from, setFrom)}
      {field("to", to, setTo)}
      <button type="submit">Apply</button>
      <span id="range-fault" class="fault small" role="alert">
        {fault}
      </span>
    </form>
  );
}

/** What the address says of times as they were typed, or what is wrong with them. */
export function chosenOf(from: string, to: string, now: number): Record<string, string | undefined> | string {
  const [start, end] = [timeOf(from, now), timeOf(to, now)];
  for (const [text, ms] of [[from, start], [to, end]] as const) {
    if (ms === undefined) return `“${text}” is no time; write ${HINT}`;
  }
  if (!(Number(start) < Number(end))) return "“From” must be before “to”";
  const ago = agoOf(from);
  // Up to now it moves on with the time.
  if (ago && agoOf(to) === 0) return { range: rangeName(ago), from: undefined, to: undefined };
  return { range: undefined, from: String(start), to: String(end) };
}
