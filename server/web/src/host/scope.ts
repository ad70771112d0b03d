// What every query of a host or a unit shares: its matchers, its window, and how text is quoted.
import type { Range } from "../api/prometheus";

export interface Scope {
  host: string;
  unit?: string;
  grid: Range;
}

/** Four samples of an agent's usual 15 s. */
const WINDOW_MIN_S = 60;

/** How far back a point looks: the whole step, so that nothing between two points is lost. */
export function windowOf({ step }: Range): number {
  return Math.max(WINDOW_MIN_S, step);
}

export function quoted(text: string): string {
  return `"${text.replaceAll("\\", "\\\\").replaceAll('"', '\\"').replaceAll("\n", "\\n")}"`;
}

/** The inside of `{…}`. */
export function matchers({ host, unit }: Pick<Scope, "host" | "unit">, more = ""): string {
  const all = [`instance=${quoted(host)}`];
  if (unit !== undefined) all.push(`unit=${quoted(unit)}`);
  if (more) all.push(more);
  return all.join(",");
}

/** `rate(name{…}[…])` of a counter. */
export function rated(scope: Scope, name: string, more = ""): string {
  return `rate(${name}{${matchers(scope, more)}}[${windowOf(scope.grid)}s])`;
}

/** A gauge: its value at the step, or its mean where steps are far apart. */
export function gauge(scope: Scope, name: string, more = ""): string {
  const selector = `${name}{${matchers(scope, more)}}`;
  const { step } = scope.grid;
  return step > WINDOW_MIN_S ? `avg_over_time(${selector}[${step}s])` : selector;
}

/** Interfaces that carry traffic of their own. */
export const NICS = 'device!~"lo|veth.*|docker.*|br-.*|virbr.*"';
/** Whole disks: what a volume or a RAID above them does is done by them. */
export const DRIVES = 'device!~"loop.*|ram.*|zram.*|dm-.*|md.*|sr.*"';
export const DISKS = 'fstype!~"tmpfs|ramfs|squashfs|iso9660|nsfs|devtmpfs|autofs|rpc_pipefs"';
