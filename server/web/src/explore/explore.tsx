// Explore: one box for each query language over one range of time; the address keeps it all.
import { useState } from "preact/hooks";
import "./explore.css";
import { go, useRoute } from "../route";
import { rangeOf } from "../ui/range";
import { RangePicker } from "../ui/range-picker";
import { Keys, useKeys } from "./keys";
import { LogPanel } from "./log-panel";
import { MetricPanel } from "./metric-panel";
import { refreshOf, RefreshPicker, useTick } from "./refresh";
import { VIEWS } from "./series-view";
import { ShareButton } from "./share";
import { moved, SpanButtons } from "./span-buttons";

export function Explore() {
  const { query } = useRoute();
  const [hasKeys, setKeys] = useState(false);
  const range = rangeOf(query);
  const refresh_s = range.kind === "last" ? refreshOf(query) : 0;
  const tick = useTick(refresh_s);
  const change = (changes: Record<string, string | undefined>) => {
    const next = new URLSearchParams(location.search);
    for (const [name, value] of Object.entries(changes)) {
      if (value === undefined || value === "") next.delete(name);
      else next.set(name, value);
    }
    go(`/explore?${next}`);
  };
  useKeys({
    "?": () => setKeys(true),
    "[": () => change(moved(range, "back", Date.now())),
    "]": () => change(moved(range, "on", Date.now())),
    "-": () => change(moved(range, "out", Date.now())),
  });
  return (
    <>
      <div class="explore-head">
        <h1 class="visually-hidden">Explore</h1>
        <RangePicker key={JSON.stringify(range)} range={range} change={change} />
        <SpanButtons range={range} change={change} />
        <RefreshPicker seconds={refresh_s} isOff={range.kind !== "last"} change={change} />
        <ShareButton range={range} />
        <button type="button" aria-haspopup="dialog" aria-label="Keys" onClick={() => setKeys(true)}>
          ?
        </button>
      </div>
      <MetricPanel
        query={query.get("promql") ?? ""}
        view={VIEWS.find((it) => it === query.get("view")) ?? "chart"}
        range={range}
        tick={tick}
        change={change}
      />
      <LogPanel
        query={query.get("logql") ?? ""}
        params={query}
        range={range}
        tick={tick}
        change={change}
      />
      {hasKeys && <Keys onClose={() => setKeys(false)} />}
    </>
  );
}
