// The lines of an answer: volume above, fields beside, and tools to read them.
import { useMemo, useState } from "preact/hooks";
import type { Line } from "../api/loki";
import type { Range } from "../api/prometheus";
import { FindBox } from "../ui/find-box";
import { bytes, counted } from "../ui/format";
import { LineList } from "../ui/lines";
import { Menu } from "../ui/menu";
import { ContextView } from "./context-view";
import { linesCsv, linesJson, linesText, save } from "./export";
import { FieldsBar } from "./fields-bar";
import { useFiltered } from "./filter-lines";
import type { Loaded, Order } from "./load-lines";
import { asFieldFilter, LIMITS, type FilterField } from "./log-panel";
import { soughtBy } from "./logql-text";
import { VolumeChart } from "./volume-chart";

const NO_LINE = "No line fits in this range. A longer one, or fewer filters, may find some.";

interface Props {
  query: string;
  grid: Range;
  loaded: Loaded;
  took_ms: number;
  isBusy: boolean;
  settings: { order: Order; limit: number; hasFields: boolean };
  actions: { filter: FilterField };
  change: (changes: Record<string, string | undefined>) => void;
  zoom: (from_ms: number, to_ms: number) => void;
}

export function LogView(props: Props) {
  const { query, grid, loaded, isBusy, settings, actions, change, zoom } = props;
  const [text, setText] = useState("");
  const [isWrapped, setWrapped] = useState(false);
  const [around, setAround] = useState<Line>();
  const filtered = useFiltered(loaded.lines, text.trim());
  const sought = useMemo(() => soughtOf(query, text.trim()), [query, text]);
  const lineActions = useMemo(() => ({ filter: actions.filter, context: setAround }), [query]);
  const { lines } = filtered;
  return (
    <>
      <VolumeChart query={query} grid={grid} zoom={zoom} />
      <div class="log-tools">
        <FindBox label="Find in these lines" placeholder="Find in these lines…" text={text} setText={setText} />
        <label class="small">
          <input
            type="checkbox"
            checked={isWrapped}
            onChange={(event) => setWrapped(event.currentTarget.checked)}
          />{" "}
          Wrap
        </label>
        <label class="small">
          <input
            type="checkbox"
            checked={settings.hasFields}
            onChange={(event) => change({ fields: event.currentTarget.checked ? "1" : undefined })}
          />{" "}
          Fields
        </label>
        <select
          aria-label="Order"
          value={settings.order}
          onChange={({ currentTarget: { value } }) =>
            change({ order: value === "newest" ? undefined : value })
          }
        >
          <option value="newest">newest first</option>
          <option value="oldest">oldest first</option>
        </select>
        <select
          aria-label="Lines at most"
          value={settings.limit}
          onChange={({ currentTarget: { value } }) =>
            change({ lines: value === String(LIMITS[0]) ? undefined : value })
          }
        >
          {LIMITS.map((limit) => (
            <option key={limit} value={limit}>
              {limit.toLocaleString("en")} lines
            </option>
          ))}
        </select>
        <Menu
          label="Export"
          choices={[
            ["Text", () => save("lines.txt", "text/plain", linesText(lines))],
            ["CSV", () => save("lines.csv", "text/csv", linesCsv(lines))],
            ["JSON", () => save("lines.json", "application/json", linesJson(lines))],
          ]}
        />
      </div>
      <div class={settings.hasFields ? "log-body with-fields" : "log-body"}>
        {settings.hasFields && (
          <FieldsBar query={query} grid={grid} filter={asFieldFilter(actions.filter)} />
        )}
        <div class="log-lines">
          {lines.length > 0 && (
            <LineList lines={lines} isWrapped={isWrapped} sought={sought} actions={lineActions} />
          )}
          {lines.length === 0 && !isBusy && !filtered.isBusy && (
            <p class="message">
              {text ? "None of these lines holds that text." : NO_LINE}
            </p>
          )}
        </div>
      </div>
      <p class="result-note" data-testid="log-note">
        {noteOf(props, lines.length)}
      </p>
      {around && (
        <ContextView line={around} sought={sought} onClose={() => setAround(undefined)} />
      )}
    </>
  );
}

function soughtOf(query: string, text: string): RegExp | undefined {
  if (text === "") return soughtBy(query);
  return new RegExp(text.replace(/[\\^$.*+?()[\]{}|]/g, "\\$&"), "gi");
}

function noteOf({ loaded, settings, took_ms }: Props, n_shown: number): string {
  const { lines, work, isAll } = loaded;
  const of = n_shown === lines.length ? "" : `${n_shown.toLocaleString("en")} of `;
  const which = isAll ? "" : `the ${settings.order} `;
  const read = `${counted(work.lines, "line")}, ${bytes(work.bytes)} read`;
  const count = `${lines.length.toLocaleString("en")} line${lines.length === 1 ? "" : "s"}`;
  return `${of}${which}${count} in ${Math.round(took_ms)} ms; ${read}`;
}
