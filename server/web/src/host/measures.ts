// Measures of charts and tables as people read them.
import { bytes, value } from "../ui/format";

export function cores(number: number): string {
  if (!Number.isFinite(number)) return "–";
  const size = Math.abs(number);
  const text = size < 0.0005 ? "0" : number.toFixed(size < 0.1 ? 3 : size < 10 ? 2 : 1);
  return `${text} ${Number(text) === 1 ? "core" : "cores"}`;
}

export function ofSecond(number: number): string {
  return Number.isFinite(number) ? `${bytes(number < 10 ? round(number) : Math.round(number))}/s` : "–";
}

/** A latency or a share of time: `1.2 ms`, `340 µs`. */
export function seconds(number: number): string {
  if (!Number.isFinite(number)) return "–";
  if (number === 0) return "0 s";
  const [scale, unit] = number < 1e-3 ? [1e6, "µs"] : number < 1 ? [1e3, "ms"] : [1, "s"];
  const scaled = number * scale;
  return `${Number(scaled.toFixed(scaled < 9.95 ? 1 : 0))} ${unit}`;
}

export function degrees(number: number): string {
  return Number.isFinite(number) ? `${Math.round(number)} °C` : "–";
}

export function axisBytes(number: number): string {
  return bytes(round(number));
}

export function axisPercent(number: number): string {
  return `${Number(number.toPrecision(3))} %`;
}

/** Events or threads. */
export function plain(number: number): string {
  return value(round(number));
}

function round(number: number): number {
  return Math.abs(number) >= 10 ? Math.round(number) : Number(number.toFixed(2));
}
