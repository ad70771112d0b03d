// Who caused a rise: each unit's use of a resource in a span against the time before it.
import type { Labels, Series } from "../api/prometheus";
import { last } from "../api/prometheus";

export interface Use {
  unit: string;
  /** Empty where the unit is in none. */
  container: string;
  /** Per second of the span, or bytes that were held on average. */
  now: number;
  before: number;
}

export interface Ranked extends Use {
  rise: number;
  /** The part of the whole rise that it explains, 0 to 1. */
  share: number;
}

export interface Ranking {
  /** Those that rose, the greatest rise first. */
  causes: Ranked[];
  /** Those that did not, the greatest use first. */
  others: Ranked[];
  /** What is explained: the host's rise, or that of all units if it is greater. */
  rise: number;
  /** The part of it that no unit owns, 0 to 1. */
  rest: number;
}

/** Less than this part of what was used is noise, not a rise. */
const NOISE = 0.01;

/** A unit that is only in one of both answers used nothing in the other span. */
export function usesOf(now: Series[], before: Series[]): Use[] {
  const uses = new Map<string, Use>();
  const entry = (labels: Labels) => {
    const { unit = "", container = "" } = labels;
    const key = JSON.stringify([unit, container]);
    const use = uses.get(key) ?? { unit, container, now: 0, before: 0 };
    uses.set(key, use);
    return use;
  };
  for (const series of now) entry(series.labels).now += finite(last(series));
  for (const series of before) entry(series.labels).before += finite(last(series));
  return [...uses.values()];
}

function finite(value: number): number {
  return Number.isFinite(value) ? value : 0;
}

/** `hostRise` is what the host itself counted, NaN if it did not: the kernel's own work is in it. */
export function rank(uses: Use[], hostRise: number): Ranking {
  const used = uses.reduce((sum, use) => sum + Math.max(use.now, use.before), 0);
  const rises = uses.map((use) => ({ ...use, rise: use.now - use.before, share: 0 }));
  const isRise = ({ rise }: Ranked) => rise > used * NOISE;
  const explained = rises.filter(isRise).reduce((sum, { rise }) => sum + rise, 0);
  // Where nobody rose there is nothing to explain, whatever the host counted.
  const whole = explained > 0 ? Math.max(finite(hostRise), explained) : 0;
  const shared = rises.map((it) => ({ ...it, share: isRise(it) ? it.rise / whole : 0 }));
  return {
    causes: shared.filter(isRise).sort((a, b) => b.rise - a.rise || byName(a, b)),
    others: shared.filter((it) => !isRise(it)).sort((a, b) => b.now - a.now || byName(a, b)),
    rise: whole,
    rest: whole > 0 ? 1 - explained / whole : 0,
  };
}

function byName(a: Use, b: Use): number {
  return a.unit.localeCompare(b.unit) || a.container.localeCompare(b.container);
}
