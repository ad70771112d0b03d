// Numbers and times as people read them; every function is pure.

const BYTE_UNITS = ["B", "kB", "MB", "GB", "TB", "PB"];
const SI_UNITS = ["", "k", "M", "G", "T", "P"];

function scaled(value: number, units: string[], space: string): string {
  let size = Math.abs(value);
  let unit = 0;
  while (size >= 999.5 && unit < units.length - 1) {
    size /= 1000;
    unit += 1;
  }
  const digits = unit === 0 && Number.isInteger(size) ? 0 : size >= 99.5 ? 0 : size >= 9.95 ? 1 : 2;
  const sign = value < 0 ? "-" : "";
  return `${sign}${Number(size.toFixed(digits))}${space}${units[unit]}`.trimEnd();
}

export function bytes(value: number): string {
  return Number.isFinite(value) ? scaled(value, BYTE_UNITS, " ") : "–";
}

export function percent(value: number): string {
  if (!Number.isFinite(value)) return "–";
  return `${value < 9.95 ? value.toFixed(1) : value.toFixed(0)} %`;
}

/** A value of unknown unit, for charts and tables. */
export function value(number: number): string {
  if (!Number.isFinite(number)) return String(number).replace("Infinity", "Inf");
  if (number !== 0 && Math.abs(number) < 0.001) return number.toExponential(2);
  if (Math.abs(number) < 1) return String(Number(number.toPrecision(3)));
  return scaled(number, SI_UNITS, " ");
}

export function duration(seconds: number): string {
  if (!Number.isFinite(seconds) || seconds < 0) return "–";
  const minutes = Math.floor(seconds / 60);
  if (minutes < 1) return `${Math.floor(seconds)} s`;
  const hours = Math.floor(minutes / 60);
  if (hours < 1) return `${minutes} min`;
  const days = Math.floor(hours / 24);
  if (days < 1) return `${hours} h ${minutes % 60} min`;
  return days < 100 ? `${days} d ${hours % 24} h` : `${days} d`;
}

/** `1 line`, `2 lines`: for nouns that take an s. */
export function counted(n: number, noun: string): string {
  return `${n} ${noun}${n === 1 ? "" : "s"}`;
}

const pad = (n: number, width = 2) => String(n).padStart(width, "0");

/** Local time of day, with the date when it is another day than `now`. */
export function timeOfDay(ms: number, now: number): string {
  const at = new Date(ms);
  const time = `${pad(at.getHours())}:${pad(at.getMinutes())}:${pad(at.getSeconds())}`;
  const isToday = at.toDateString() === new Date(now).toDateString();
  return isToday ? time : `${pad(at.getMonth() + 1)}-${pad(at.getDate())} ${time}`;
}

export function fullTime(ms: number): string {
  const at = new Date(ms);
  const date = `${at.getFullYear()}-${pad(at.getMonth() + 1)}-${pad(at.getDate())}`;
  const time = `${pad(at.getHours())}:${pad(at.getMinutes())}:${pad(at.getSeconds())}`;
  return `${date} ${time}.${pad(at.getMilliseconds(), 3)}`;
}

/** The labels in which series differ: the others say nothing in a list of them. */
export function telling(all: Record<string, string>[]): Record<string, string>[] {
  const [first = {}, ...rest] = all;
  if (rest.length === 0) return all;
  const isShared = (key: string) => rest.every((labels) => labels[key] === first[key]);
  return all.map((labels) =>
    Object.fromEntries(Object.entries(labels).filter(([key]) => !isShared(key))),
  );
}

/** `name{a="b"}` as PromQL writes it. */
export function seriesName(labels: Record<string, string>): string {
  const { __name__: name = "", ...rest } = labels;
  const pairs = Object.entries(rest).map(([key, text]) => `${key}=${JSON.stringify(text)}`);
  return pairs.length > 0 || name === "" ? `${name}{${pairs.join(", ")}}` : name;
}
