// What kernel events tell of a span: which programs ran, how often, and what they took.
import { unitOf, type Line } from "../api/loki";

export interface Program {
  name: string;
  unit: string;
  /** Processes that ended, or if none did yet, programs that started. */
  count: number;
  hasEnded: boolean;
  cpu_seconds: number;
  memory_bytes: number;
  /** Ended by a signal. */
  n_killed: number;
}

/** The programs of `exec` and `exit` events, those that took most CPU time first. */
export function programsOf(events: Line[]): Program[] {
  const ended = new Map<string, Program>();
  const started = new Map<string, Program>();
  for (const line of events) {
    const fields = { ...line.metadata, ...line.labels };
    const name = fields.comm ?? fields.filename?.split("/").at(-1) ?? "";
    if (name === "" || (fields.event !== "exec" && fields.event !== "exit")) continue;
    const hasEnded = fields.event === "exit";
    const all = hasEnded ? ended : started;
    const unit = unitOf(line);
    const key = JSON.stringify([name, unit]);
    const empty = { name, unit, count: 0, hasEnded, cpu_seconds: 0, memory_bytes: 0, n_killed: 0 };
    const program = all.get(key) ?? empty;
    all.set(key, program);
    program.count += 1;
    program.cpu_seconds += number(fields.cpu_user_seconds) + number(fields.cpu_system_seconds);
    program.memory_bytes = Math.max(program.memory_bytes, number(fields.rss_max_bytes));
    if (fields.signal !== undefined) program.n_killed += 1;
  }
  const running = [...started].filter(([key]) => !ended.has(key)).map(([, it]) => it);
  return [...ended.values(), ...running].sort(
    (a, b) => b.cpu_seconds - a.cpu_seconds || b.count - a.count || a.name.localeCompare(b.name),
  );
}

function number(text: string | undefined): number {
  const value = Number(text ?? NaN);
  return Number.isFinite(value) ? value : 0;
}
