// How long ago something was, and how long it is until then.
import { duration } from "../ui/format";

export function ago(unix_s: number | null | undefined, now_s: number): string {
  if (unix_s === null || unix_s === undefined || Number.isNaN(unix_s)) return "never";
  return now_s - unix_s < 60 ? "just now" : `${duration(now_s - unix_s)} ago`;
}

export function ahead(unix_s: number | null, now_s: number): string {
  if (unix_s === null) return "–";
  return unix_s <= now_s ? "now" : `in ${duration(unix_s - now_s)}`;
}
