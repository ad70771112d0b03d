// Names of hosts for the search, asked once somebody searches.
import { usePoll } from "../api/poll";
import { range } from "../api/prometheus";
import { hostHref } from "../host/address";
import type { Hit } from "./view";

const REFRESH_MS = 5 * 60_000;
const GRID_S = 60;

export function useHostHits(isAsked: boolean): Hit[] {
  const { data } = usePoll("host-names", REFRESH_MS, hostNames, !isAsked);
  return (data ?? []).map((name) => ({ name, href: hostHref(name) }));
}

async function hostNames(abort: AbortSignal): Promise<string[]> {
  const end = Math.floor(Date.now() / 1000 / GRID_S) * GRID_S;
  const at = { start: end, end, step: GRID_S };
  const found = await range("group by (instance) (last_over_time(node_uname_info[6h]))", at, abort);
  return found.series.map(({ labels }) => labels.instance ?? "").filter((name) => name !== "");
}
