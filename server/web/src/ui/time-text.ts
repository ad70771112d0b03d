// Times as somebody types them: `now`, `now-90m`, `2026-11-23 14:00`, `14:00` of today.

const SECONDS: Record<string, number> = {
  s: 1,
  m: 60,
  h: 3600,
  d: 86_400,
  w: 7 * 86_400,
  y: 365 * 86_400,
};

/** Seconds of `90m` or `1h30m`; undefined if it is no length of time. */
export function lengthOf(text: string): number | undefined {
  if (!/^(\d+(\.\d+)?[smhdwy])+$/.test(text)) return undefined;
  const parts = text.matchAll(/([\d.]+)([smhdwy])/g);
  const seconds = [...parts].reduce((sum, [, count, unit = ""]) => sum + Number(count) * (SECONDS[unit] ?? NaN), 0);
  return seconds > 0 ? seconds : undefined;
}

/** Milliseconds since the Unix epoch; undefined if it is no time. */
export function timeOf(typed: string, now_ms: number): number | undefined {
  const text = typed.trim().toLowerCase();
  const ago = agoOf(text);
  if (ago !== undefined) return now_ms - ago * 1000;
  const today = /^(\d{1,2}):(\d{2})(?::(\d{2}))?$/.exec(text);
  if (today) {
    const [hours = 0, minutes = 0, seconds = 0] = today.slice(1).map((it) => Number(it ?? 0));
    return hours < 24 && minutes < 60 && seconds < 60 ? new Date(now_ms).setHours(hours, minutes, seconds, 0) : undefined;
  }
  if (!/^\d{4}-\d\d-\d\d/.test(text)) return undefined;
  // A date alone is its midnight here, not in Greenwich.
  const whole = text.length === 10 ? `${text}T00:00` : text.toUpperCase().replace(" ", "T");
  const ms = new Date(whole).getTime();
  return Number.isNaN(ms) ? undefined : ms;
}

/** Seconds before now of `now` and `now-1h30m`; undefined for any other time. */
export function agoOf(typed: string): number | undefined {
  const text = typed.trim().toLowerCase().replaceAll(" ", "");
  if (text === "now") return 0;
  return text.startsWith("now-") ? lengthOf(text.slice(4)) : undefined;
}

/** As it is typed, by the minute or, where it matters, the second. */
export function timeText(ms: number): string {
  const at = new Date(ms);
  const local = new Date(ms - at.getTimezoneOffset() * 60_000).toISOString();
  return local.slice(0, ms % 60_000 === 0 ? 16 : 19).replace("T", " ");
}
