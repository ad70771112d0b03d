// Chooses the range of time: up to now in one click, or from and to by the minute.
import { useState } from "preact/hooks";
import "./range-picker.css";
import { PRESETS, type TimeRange } from "./range";

interface Props {
  range: TimeRange;
  change: (changes: Record<string, string | undefined>) => void;
}

export function RangePicker({ range, change }: Props) {
  const [isOpen, setOpen] = useState(range.kind === "fixed");
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
          aria-pressed={range.kind === "fixed"}
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

function Custom({ range, change }: Props) {
  const now = Date.now();
  const initial =
    range.kind === "fixed" ? range : { from: now - range.seconds * 1000, to: now };
  const [from, setFrom] = useState(localText(initial.from));
  const [to, setTo] = useState(localText(initial.to));
  const isValid = new Date(from).getTime() < new Date(to).getTime();
  const apply = (event: Event) => {
    event.preventDefault();
    const ms = (text: string) => String(new Date(text).getTime());
    if (isValid) change({ range: undefined, from: ms(from), to: ms(to) });
  };
  return (
    <form class="custom" onSubmit={apply}>
      <label>
        From{" "}
        <input
          type="datetime-local"
          required
          value={from}
          onInput={(event) => setFrom(event.currentTarget.value)}
        />
      </label>
      <label>
        to{" "}
        <input
          type="datetime-local"
          required
          value={to}
          onInput={(event) => setTo(event.currentTarget.value)}
        />
      </label>
      <button type="submit" disabled={!isValid} title={isValid ? "" : "“From” must be before “to”"}>
        Apply
      </button>
    </form>
  );
}

/** As an input of type datetime-local wants it. */
function localText(ms: number): string {
  const at = new Date(ms);
  return new Date(ms - at.getTimezoneOffset() * 60_000).toISOString().slice(0, 16);
}
