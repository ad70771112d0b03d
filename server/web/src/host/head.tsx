// The head of a host's page: which host, is it alive, and over which time the page tells.
import "./head.css";
import { go, Link, useRoute } from "../route";
import { bytes, counted, duration } from "../ui/format";
import { KeysButton } from "../ui/keys";
import { type TimeRange } from "../ui/range";
import { RangePicker } from "../ui/range-picker";
import { changed, hostHref, rangeOnly } from "./address";
import type { Identity } from "./identity";

/** A host without samples for this long is shown as silent. */
export const SILENT_AFTER_S = 120;

const KEYS: [string, string][] = [
  ["← → on a chart", "move; with Ctrl faster, with Shift mark a span, Enter asks about it"],
  ["/", "filter the units"],
];

interface Props {
  host: string;
  unit?: string;
  container?: string;
  identity: Identity | undefined;
  range: TimeRange;
}

export function Head({ host, unit, container, identity, range }: Props) {
  const { path, query } = useRoute();
  const change = (changes: Record<string, string | undefined>) => {
    // What was marked lies in the time that was shown.
    const next = changed(query, { ...changes, a: undefined, b: undefined, cause: undefined });
    go(`${path}?${next}`);
  };
  const silence = Date.now() / 1000 - (identity?.seen_at ?? NaN);
  const isSilent = identity?.isKnown === true && !(silence < SILENT_AFTER_S);
  return (
    <header class="host-head">
      <span class={isSilent ? "dot silent" : identity?.isKnown ? "dot" : "dot unknown"} aria-hidden="true" />
      <div class="who">
        {unit === undefined ? (
          <h1 class="ellipsis" title={host} data-testid="host-title">
            {host}
          </h1>
        ) : (
          <>
            <h1 class="ellipsis" title={unit} data-testid="unit-title">
              {unit}
            </h1>
            <p class="small ellipsis">
              {container && <span class="muted">in container {container}, </span>}
              <span class="muted">on </span>
              <Link href={hostHref(host, rangeOnly(query))}>{host}</Link>
            </p>
          </>
        )}
        {identity?.isKnown && unit === undefined && (
          <p class="muted small facts" data-testid="host-facts">
            {facts(identity, isSilent, silence)}
          </p>
        )}
      </div>
      <RangePicker key={JSON.stringify(range)} range={range} change={change} />
      <KeysButton keys={KEYS} acts={{ "/": focusFilter }} />
    </header>
  );
}

function focusFilter() {
  document.querySelector<HTMLElement>(".unit-table input")?.focus();
}

function facts(identity: Identity, isSilent: boolean, silence: number) {
  const { system, n_cores, memory_bytes, booted_at, agent_version } = identity;
  const known = [
    system,
    Number.isFinite(n_cores) ? counted(n_cores, "core") : "",
    Number.isFinite(memory_bytes) ? `${bytes(memory_bytes)} of memory` : "",
    Number.isFinite(booted_at) && !isSilent ? `up ${duration(Date.now() / 1000 - booted_at)}` : "",
    agent_version ? `agent ${agent_version}` : "",
  ].filter((fact) => fact !== "");
  return (
    <>
      {isSilent && <strong>silent for {duration(silence)}</strong>}
      {known.map((fact) => (
        <span key={fact}>{fact}</span>
      ))}
    </>
  );
}
