// What stands below the cause of a rise: who waited, other hosts, programs, units that did not rise.
import type { Program } from "./programs";
import { seconds } from "./measures";
import type { Ranking, Use } from "./ranking";
import { bytes, counted } from "../ui/format";

const ROWS_MAX = 5;
const OTHERS_MAX = 100;

interface WaitsProps {
  waits: Use[];
  title: string;
  show: (unit: string) => void;
}

export function Waits({ waits, title, show }: WaitsProps) {
  if (waits.length === 0) return null;
  return (
    <div class="more" data-testid="waits">
      <h3>{title}</h3>
      <ul class="small">
        {waits.slice(0, ROWS_MAX).map(({ unit, container, now, before }) => (
          <li key={`${unit} ${container}`}>
            <button type="button" class="ellipsis" title={unit} onClick={() => show(unit)}>
              {unit}
            </button>
            <span class="num">
              {seconds(now)} a second, {seconds(before)} before
            </span>
          </li>
        ))}
      </ul>
    </div>
  );
}

export function Peers({ peers, format }: { peers: Ranking; format: (value: number) => string }) {
  if (peers.causes.length === 0) return null;
  return (
    <div class="more" data-testid="peers">
      <h3>With which hosts</h3>
      <ul class="small">
        {peers.causes.slice(0, ROWS_MAX).map(({ unit, rise, share }) => (
          <li key={unit}>
            <span class="mono ellipsis" title={unit}>
              {unit}
            </span>
            <span class="num">
              +{format(rise)}, {Math.round(100 * share)} %
            </span>
          </li>
        ))}
      </ul>
    </div>
  );
}

interface ProgramsProps {
  programs: Program[];
  /** Its programs come first. */
  shown: string | undefined;
  show: (unit: string) => void;
}

/** From events of the kernel: a program that ran all the time is in none of them. */
export function Programs({ programs, shown, show }: ProgramsProps) {
  if (programs.length === 0) return null;
  const isOwn = ({ unit }: Program) => unit === shown;
  const rows = [...programs.filter(isOwn), ...programs.filter((it) => !isOwn(it))];
  return (
    <div class="more" data-testid="programs">
      <h3>Programs that began or ended</h3>
      <ul class="small">
        {rows.slice(0, ROWS_MAX).map((it) => (
          <li key={`${it.name} ${it.unit} ${it.hasEnded}`}>
            <span class="ellipsis" title={it.name}>
              <span class="mono">{it.name}</span>{" "}
              {it.unit && (
                <button type="button" class="muted" onClick={() => show(it.unit)}>
                  {it.unit}
                </button>
              )}
            </span>
            <span class="num">{programText(it)}</span>
          </li>
        ))}
      </ul>
    </div>
  );
}

function programText(program: Program): string {
  const { count, hasEnded, cpu_seconds, memory_bytes, n_killed } = program;
  if (!hasEnded) return count === 1 ? "began" : `began ${count} times`;
  const told = [
    count === 1 ? "ended" : `ended ${count} times`,
    cpu_seconds > 0 ? `${seconds(cpu_seconds)} of CPU` : "",
    memory_bytes > 0 ? bytes(memory_bytes) : "",
    n_killed > 0 ? `${n_killed} by a signal` : "",
  ];
  return told.filter((it) => it !== "").join(", ");
}

interface OthersProps {
  others: Use[];
  format: (value: number) => string;
  shown: string | undefined;
  show: (unit: string) => void;
  isOpen?: boolean;
}

export function Others({ others, format, shown, show, isOpen = false }: OthersProps) {
  if (others.length === 0) return null;
  return (
    <details class="more" open={isOpen}>
      <summary class="small muted">{counted(others.length, "unit")} did not rise</summary>
      <ul class="small">
        {others.slice(0, OTHERS_MAX).map(({ unit, container, now }) => (
          <li key={`${unit} ${container}`}>
            <button
              type="button"
              class="ellipsis"
              title={unit}
              aria-pressed={unit === shown}
              onClick={() => show(unit)}
            >
              {unit}
            </button>
            <span class="num">{format(now)}</span>
          </li>
        ))}
      </ul>
    </details>
  );
}
