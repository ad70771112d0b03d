// Explore: one box for each query language over one range of time; the address keeps it all.
import "./explore.css";
import { go, useRoute } from "../route";
import { LogPanel } from "./log-panel";
import { MetricPanel } from "./metric-panel";
import { rangeOf } from "../ui/range";
import { RangePicker } from "../ui/range-picker";

export function Explore() {
  const { query } = useRoute();
  const range = rangeOf(query);
  const change = (changes: Record<string, string | undefined>) => {
    const next = new URLSearchParams(location.search);
    for (const [name, value] of Object.entries(changes)) {
      if (value === undefined || value === "") next.delete(name);
      else next.set(name, value);
    }
    go(`/explore?${next}`);
  };
  return (
    <>
      <div class="explore-head">
        <h1 class="visually-hidden">Explore</h1>
        <RangePicker range={range} change={change} />
      </div>
      <MetricPanel
        query={query.get("promql") ?? ""}
        view={query.get("view") === "table" ? "table" : "chart"}
        range={range}
        change={change}
      />
      <LogPanel query={query.get("logql") ?? ""} range={range} change={change} />
    </>
  );
}
