// The last day of every checked service, from three queries over all of them.
import { range, type Series } from "../api/prometheus";
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

const DAY_S = 24 * 3600;
const STEP_S = 30 * 60;
/** The answers of one such time are the same for every tab, and the server keeps them. */
const GRID_S = 5 * 60;

export function keyOf(group: string, service: string): string {
  return JSON.stringify([group, service]);
}

export async function days(nowMs: number, abort: AbortSignal): Promise<Days> {
  const end = Math.floor(nowMs / 1000 / GRID_S) * GRID_S;
  const slots = { start: end - DAY_S, end, step: STEP_S };
  const now = { start: end, end, step: GRID_S };
  const [response, up, uptime] = await Promise.all([
    range("avg_over_time(skep_service_response_seconds[30m])", slots, abort),
    range("min_over_time(skep_service_up[30m])", slots, abort),
    range("100 * avg_over_time(skep_service_up[24h])", now, abort),
  ]);
  return { window: [slots.start, end], of: joined(response.series, up.series, uptime.series) };
}

/** The three answers by service. */
export function joined(response: Series[], up: Series[], uptime: Series[]): Map<string, Day> {
  const name = ({ labels }: Series) => keyOf(labels.group ?? "", labels.service ?? "");
  const by = (all: Series[]) => new Map(all.map((series) => [name(series), series]));
  const [responses, uptimes] = [by(response), by(uptime)];
  return new Map(
    [...by(up)].map(([key, series]): [string, Day] => {
      const { times = [], values = [] } = responses.get(key) ?? {};
      const finite = values.filter(Number.isFinite);
      return [
        key,
        {
          response: { times, values },
          downs: downsOf(series),
          uptime: uptimes.get(key)?.values.at(-1) ?? NaN,
          // A steady service has a flat line in the middle, not one that fills the tile with noise.
          top: Math.max(2 * average(finite), ...finite, 0.001),
          gap_s: 1.5 * STEP_S,
        },
      ];
    }),
  );
}

function average(values: number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / Math.max(1, values.length);
}

/** A point stands for the slot before it. */
function downsOf({ times, values }: Series): [number, number][] {
  return times.flatMap((time, i): [number, number][] => ((values[i] ?? 1) < 1 ? [[time - STEP_S, time]] : []));
}

/** Never 100 % for what was down. */
export function uptimeText(percent: number): string {
  if (!Number.isFinite(percent)) return "";
  if (percent >= 100) return "100 %";
  const digits = percent < 99 ? 1 : 2;
  return `${(Math.floor(percent * 10 ** digits) / 10 ** digits).toFixed(digits)} %`;
}
