// How the figure of a query is written, as its file wants it.
import { bytes, duration, percent, value } from "../ui/format";
import type { FormatName } from "./view";

export interface Format {
  format: FormatName;
  scale: number;
  prefix: string;
  suffix: string;
}

const WRITERS: Record<FormatName, (number: number) => string> = {
  text: String,
  number: value,
  bytes,
  bytes_per_second: (number) => `${bytes(number)}/s`,
  percent,
  duration,
};

export function formatted(number: number, { format, scale, prefix, suffix }: Format): string {
  if (!Number.isFinite(number)) return "no data";
  return prefix + WRITERS[format](number * scale) + suffix;
}
