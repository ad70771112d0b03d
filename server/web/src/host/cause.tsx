// Spike to cause: the units that explain a rise, who had to wait, and their lines of that time.
import { useEffect, useRef } from "preact/hooks";
import "./cause.css";
import { usePoll } from "../api/poll";
import type { Span } from "../chart/selection";
import { Link, useRoute } from "../route";
import { duration, timeOfDay } from "../ui/format";
import { Trouble } from "../ui/trouble";
import { measurable, unitHref } from "./address";
import { findings, programs, type Findings } from "./cause-data";
import { Others, Peers, Programs, Waits } from "./cause-more";
import type { Ranked } from "./ranking";
import { RESOURCE_IDS, RESOURCES, type Resource, type ResourceId } from "./resources";
import { SpanLines } from "./span-lines";

const NEVER_MS = 86_400_000;
const CAUSES_MAX = 8;

interface Props {
  host: string;
  span: Span;
  resource: ResourceId;
  change: (changes: Record<string, string | undefined>) => void;
}

export function Cause({ host, span, resource: id, change }: Props) {
  const { query } = useRoute();
  const resource = RESOURCES[id];
  const asked = measurable(span);
  const key = JSON.stringify([host, asked, id]);
  const found = usePoll(key, NEVER_MS, async (abort) => ({
    key,
    ...(await findings(host, asked, id, abort)),
  }));
  const ran = usePoll(JSON.stringify([host, asked]), NEVER_MS, (abort) => programs(host, asked, abort));
  const box = useRef<HTMLElement>(null);
  useEffect(() => {
    box.current?.focus({ preventScroll: true });
    const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
    box.current?.scrollIntoView({ block: "nearest", behavior: calm ? "auto" : "smooth" });
  }, [key]);
  const data = found.data?.key === key ? found.data : undefined;
  const first = data?.ranking.causes[0] ?? data?.ranking.others[0];
  const isKernel = query.get("show") === "kernel";
  const unit = isKernel ? undefined : (query.get("unit") ?? first?.unit);
  const close = () =>
    change({ a: undefined, b: undefined, cause: undefined, unit: undefined, show: undefined });
  const show = (name: string | undefined) =>
    change({ unit: name, show: name === undefined ? "kernel" : undefined });
  return (
    <section
      class="panel cause"
      aria-label="Cause of the marked span"
      data-testid="cause"
      ref={box}
      tabIndex={-1}
      onKeyDown={(event) => event.key === "Escape" && close()}
    >
      <div class="panel-head">
        <h2>What happened</h2>
        <span class="muted small num grow">
          {spanText(asked)}, against the {duration(asked.to - asked.from)} before
        </span>
        <div class="segmented" role="group" aria-label="Resource">
          {RESOURCE_IDS.map((other) => (
            <button
              key={other}
              type="button"
              aria-pressed={other === id}
              onClick={() => change({ cause: other, unit: undefined })}
            >
              {RESOURCES[other].title}
            </button>
          ))}
        </div>
        <button
          type="button"
          onClick={() => {
            const around = (asked.to - asked.from) * 2;
            const ms = (seconds: number) => String(Math.round(seconds * 1000));
            change({ range: undefined, from: ms(asked.from - around), to: ms(asked.to + around) });
          }}
        >
          Zoom in
        </button>
        <button type="button" onClick={close} title="Escape">
          Close
        </button>
      </div>
      <Trouble error={found.error} />
      <div class="cause-body">
        <div class="who-list">
          {!data && !found.error && <p class="message">Comparing the units…</p>}
          {data && (
            <Units host={host} data={data} resource={resource} shown={unit} show={show} />
          )}
          {data && <Waits waits={data.waits} title={resource.waiting} show={show} />}
          {data?.peers && <Peers peers={data.peers} format={resource.format} />}
          {ran.data && <Programs programs={ran.data} shown={unit} show={show} />}
        </div>
        <div class="what-lines">
          <div class="segmented" role="group" aria-label="Lines">
            {first && (
              <button type="button" aria-pressed={!isKernel} onClick={() => show(unit ?? first.unit)}>
                <span class="ellipsis">{unit ?? first.unit}</span>
              </button>
            )}
            <button type="button" aria-pressed={isKernel} onClick={() => show(undefined)}>
              Kernel
            </button>
          </div>
          {(data || isKernel) && (unit !== undefined || isKernel) && (
            <SpanLines host={host} unit={unit} span={asked} />
          )}
        </div>
      </div>
    </section>
  );
}

function spanText({ from, to }: Span): string {
  const now = Date.now();
  return `${timeOfDay(from * 1000, now)} to ${timeOfDay(to * 1000, now)}`;
}

interface UnitsProps {
  host: string;
  data: Findings;
  resource: Resource;
  shown: string | undefined;
  show: (unit: string) => void;
}

function Units({ host, data: { ranking }, resource, shown, show }: UnitsProps) {
  const { causes, others, rise, rest } = ranking;
  if (causes.length === 0 && others.length === 0) {
    return (
      <p class="message">
        No unit of this host told about {resource.title} in this time. The agent’s guide says which
        kernels can.
      </p>
    );
  }
  return (
    <>
      {causes.length === 0 && (
        <p class="message" data-testid="no-rise">
          No unit used more than before. These used most:
        </p>
      )}
      {causes.length > 0 && (
        <p class="rise">
          {resource.title} rose by <strong>{resource.format(rise)}</strong>
        </p>
      )}
      <ol class="causes">
        {causes.slice(0, CAUSES_MAX).map((it) => (
          <Entry key={`${it.unit} ${it.container}`} host={host} entry={it} resource={resource} shown={shown} show={show} />
        ))}
        {rest >= 0.05 && (
          <li class="rest small muted">{percentOf(rest)} is nobody’s: the kernel’s own work, or what units do not tell</li>
        )}
      </ol>
      {causes.length === 0 ? (
        <Others others={others} format={resource.format} shown={shown} show={show} isOpen />
      ) : (
        <Others others={others} format={resource.format} shown={shown} show={show} />
      )}
    </>
  );
}

interface EntryProps {
  host: string;
  entry: Ranked;
  resource: Resource;
  shown: string | undefined;
  show: (unit: string) => void;
}

function Entry({ host, entry, resource, shown, show }: EntryProps) {
  const { unit, container, share, rise, now, before } = entry;
  const { format } = resource;
  const query = container ? new URLSearchParams({ container }) : undefined;
  return (
    <li data-testid="cause-unit">
      <button type="button" aria-pressed={shown === unit} onClick={() => show(unit)}>
        <span class="name">
          <span class="ellipsis" title={container ? `${unit} in container ${container}` : unit}>
            {unit}
            {container && <span class="muted"> in {container}</span>}
          </span>
          <strong class="num">{percentOf(share)} of the rise</strong>
        </span>
        <span class="bar" aria-hidden="true">
          <span style={{ width: `${100 * share}%` }} />
        </span>
        <span class="figures small muted num">
          +{format(rise)}: {format(before)} before, {format(now)} then
        </span>
      </button>
      <Link class="small" href={unitHref(host, unit, query)} aria-label={`Charts of ${unit}`}>
        Charts
      </Link>
    </li>
  );
}

function percentOf(share: number): string {
  return share > 0 && share < 0.01 ? "<1 %" : `${Math.round(100 * share)} %`;
}
