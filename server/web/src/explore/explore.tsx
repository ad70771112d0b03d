// Explore: queries of both languages over one range of time; the address keeps it all.
import type { JSX } from "preact";
import "./explore.css";
import { go, useRoute } from "../route";
import { KeysButton } from "../ui/keys";
import { rangeOf } from "../ui/range";
import { RangePicker } from "../ui/range-picker";
import type { Language } from "./language";
import { LogPanel } from "./log-panel";
import { MetricPanel } from "./metric-panel";
import type { Place } from "./panel-tools";
import { panelChanges, panelCount, panelParams, PANELS_MAX, withoutPanel, withPanel } from "./panels";
import { refreshOf, RefreshPicker, useTick } from "./refresh";
import { VIEWS } from "./series-view";
import { ShareButton } from "./share";
import { moved, SpanButtons } from "./span-buttons";

const KEYS: [string, string][] = [
  ["Shift+Enter, Ctrl+Enter", "run the query"],
  ["Ctrl+Space", "what can stand here"],
  ["Escape, then Tab", "leaves the query"],
  ["[ and ]", "earlier and later"],
  ["−", "zoom out"],
  ["← → on a chart", "move; with Shift mark a span, Enter zooms to it"],
  ["↑ ↓ Page Home End on lines", "go through the lines; Enter opens one"],
];

type Changes = Record<string, string | undefined>;
type DrawPanel = (place: Place, own: URLSearchParams, change: (changes: Changes) => void) => JSX.Element;

export function Explore() {
  const { query } = useRoute();
  const range = rangeOf(query);
  const refresh_s = range.kind === "last" ? refreshOf(query) : 0;
  const tick = useTick(refresh_s);
  const change = (changes: Changes) => {
    const next = new URLSearchParams(location.search);
    for (const [name, value] of Object.entries(changes)) {
      if (value === undefined || value === "") next.delete(name);
      else next.set(name, value);
    }
    go(`/explore?${next}`);
  };
  const panels = (language: Language, draw: DrawPanel) => {
    const count = panelCount(query, language);
    return Array.from({ length: count }, (_, at) => {
      const number = at + 1;
      const isLast = number === count && count < PANELS_MAX;
      const place: Place = {
        number,
        add: isLast ? () => change(withPanel(query, language)) : undefined,
        remove: count > 1 ? () => change(withoutPanel(query, language, number)) : undefined,
      };
      const changeOwn = (changes: Changes) => change(panelChanges(changes, language, number));
      return draw(place, panelParams(query, language, number), changeOwn);
    });
  };
  return (
    <>
      <div class="explore-head">
        <h1 class="visually-hidden">Explore</h1>
        <RangePicker key={JSON.stringify(range)} range={range} change={change} />
        <SpanButtons range={range} change={change} />
        <RefreshPicker seconds={refresh_s} isOff={range.kind !== "last"} change={change} />
        <ShareButton range={range} />
        <KeysButton
          keys={KEYS}
          acts={{
            "[": () => change(moved(range, "back", Date.now())),
            "]": () => change(moved(range, "on", Date.now())),
            "-": () => change(moved(range, "out", Date.now())),
          }}
        />
      </div>
      {panels("promql", (place, own, change) => (
        <MetricPanel
          key={`promql ${place.number}`}
          place={place}
          query={own.get("promql") ?? ""}
          view={VIEWS.find((it) => it === own.get("view")) ?? "chart"}
          range={range}
          tick={tick}
          change={change}
        />
      ))}
      {panels("logql", (place, own, change) => (
        <LogPanel
          key={`logql ${place.number}`}
          place={place}
          query={own.get("logql") ?? ""}
          params={own}
          range={range}
          tick={tick}
          change={change}
        />
      ))}
    </>
  );
}
