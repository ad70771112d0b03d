// The last day of every checked service, as the server tells it to whoever sees the page.
import { getJson } from "../api/client";
import type { Spark } from "./fleet";

/** Of one service. */
export interface Day {
  response: Spark;
  /** Start and end of times in which it was down, in seconds. */
  downs: [number, number][];
  /** Percent of the checks of the last 24 hours. */
  uptime: number;
  /** The top of the curve. */
  top: number;
  gap_s: number;
}

export interface Days {
  window: [number, number];
  of: Map<string, Day>;
}

export function keyOf(group: string, service: string): string {
  return JSON.stringify([group, service]);
}

/** Of one service; null where nothing was told. */
export interface ServiceDay {
  group: string;
  service: string;
  /** Seconds, a value a slot. */
  response: (number | null)[];
  /** Less than 1 where it was down. */
  up: (number | null)[];
  uptime: number | null;
}

/** Each slot ends at `start` or a multiple of `step` later, in seconds. */
export interface ToldDays {
  start: number;
  step: number;
  services: ServiceDay[];
}

const DAY_S = 24 * 3600;

export async function days(abort: AbortSignal): Promise<Days> {
  return daysOf((await getJson("/-/skep/v1/home/days", {}, abort)) as ToldDays);
}

export function daysOf({ start, step, services }: ToldDays): Days {
  const entries = services.map((it): [string, Day] => [keyOf(it.group, it.service), dayOf(it, start, step)]);
  return { window: [start, start + DAY_S], of: new Map(entries) };
}

function dayOf({ response, up, uptime }: ServiceDay, start: number, step: number): Day {
  const at = (i: number) => start + i * step;
  const slots = response.flatMap((value, i): [number, number][] => (value === null ? [] : [[at(i), value]]));
  const values = slots.map(([, value]) => value);
  return {
    response: { times: slots.map(([time]) => time), values },
    // A point stands for the slot before it.
    downs: up.flatMap((it, i): [number, number][] => ((it ?? 1) < 1 ? [[at(i) - step, at(i)]] : [])),
    uptime: uptime ?? NaN,
    // A steady service has a flat line in the middle, not one that fills the tile with noise.
    top: Math.max(2 * average(values), ...values, 0.001),
    gap_s: 1.5 * step,
  };
}

function average(values: number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / Math.max(1, values.length);
}

/** Never 100 % for what was down. */
export function uptimeText(percent: number): string {
  if (!Number.isFinite(percent)) return "";
  if (percent >= 100) return "100 %";
  const digits = percent < 99 ? 1 : 2;
  return `${(Math.floor(percent * 10 ** digits) / 10 ** digits).toFixed(digits)} %`;
}
