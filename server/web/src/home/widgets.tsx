// Figures of the user's own: by a query of PromQL, or by the server from an address.
import "./widgets.css";
import { Away } from "../api/client";
import { usePoll } from "../api/poll";
import { range, type Range } from "../api/prometheus";
import type { Spark } from "./fleet";
import { Sparkline } from "./sparkline";
import type { JsonWidget, PromqlWidget, Widget } from "./view";
import { formatted } from "./widget-format";

const REFRESH_MS = 60_000;
const DAY_S = 24 * 3600;
const CURVE_STEP_S = 30 * 60;
/** On this grid the server keeps answers. */
const GRID_S = 15;

export function Widgets({ widgets }: { widgets: Widget[] }) {
  if (widgets.length === 0) return null;
  return (
    <section aria-label="Figures" class="widgets">
      {widgets.map((widget) =>
        widget.kind === "promql" ? (
          <Query key={widget.name} widget={widget} />
        ) : (
          <Document key={widget.name} widget={widget} />
        ),
      )}
    </section>
  );
}

interface BoxProps {
  name: string;
  href: string | null;
  isPrivate: boolean;
  error: string | null;
  children: preact.ComponentChildren;
}

function Box({ name, href, isPrivate, error, children }: BoxProps) {
  return (
    <article class="panel widget" data-testid="widget">
      <h2 class="muted small">
        {href === null ? name : <a href={href}>{name}</a>}
        {isPrivate && <span class="private">private</span>}
      </h2>
      {children}
      {error !== null && (
        <p class="small trouble" role="status">
          {error}
        </p>
      )}
    </article>
  );
}

interface Asked {
  value: number;
  spark: Spark;
  window: [number, number];
}

function Query({ widget }: { widget: PromqlWidget }) {
  const { data, error } = usePoll(`${widget.curve} ${widget.query}`, REFRESH_MS, (abort) => ask(widget, abort));
  // That the server is away is the banner's to say.
  const fault = error === undefined || error instanceof Away ? null : error.message;
  return (
    <Box name={widget.name} href={widget.href} isPrivate={widget.private} error={fault}>
      <p class="figure num">{data ? formatted(data.value, widget) : "…"}</p>
      {widget.curve && (
        <div class="curve">
          {data && data.spark.times.length > 0 && (
            <Sparkline
              lines={[data.spark]}
              window={data.window}
              gap_s={2 * CURVE_STEP_S}
              max={Math.max(...data.spark.values.filter(Number.isFinite), 0) || 1}
              label={`${widget.name}, last 24 hours`}
            />
          )}
        </div>
      )}
    </Box>
  );
}

async function ask({ query, curve }: PromqlWidget, abort: AbortSignal): Promise<Asked> {
  const end = Math.floor(Date.now() / 1000 / GRID_S) * GRID_S;
  const day = Math.ceil(end / CURVE_STEP_S) * CURVE_STEP_S;
  const window: [number, number] = [day - DAY_S, day];
  const over = (at: Range) => range(query, at, abort).then((it) => it.series[0]);
  const [now, past] = await Promise.all([
    over({ start: end, end, step: GRID_S }),
    curve ? over({ start: window[0], end: day, step: CURVE_STEP_S }) : undefined,
  ]);
  const spark = { times: past?.times ?? [], values: past?.values ?? [] };
  return { value: now?.values.at(-1) ?? NaN, spark, window };
}

function Document({ widget }: { widget: JsonWidget }) {
  const { values, error } = widget;
  return (
    <Box name={widget.name} href={widget.href} isPrivate={widget.private} error={error}>
      {values.length === 0 && error === null && <p class="figure">…</p>}
      {values.map(({ label, text }) => (
        <p key={label} class={values.length === 1 ? "figure num" : "value"}>
          {label !== "" && <span class="muted small">{label} </span>}
          <span class="num">{text}</span>
        </p>
      ))}
    </Box>
  );
}
