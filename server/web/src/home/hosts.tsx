// A card for each host: is it alive, and how busy is it now and in the last minutes.
import { useMemo, useRef, useState } from "preact/hooks";
import "./hosts.css";
import { Away } from "../api/client";
import { usePoll } from "../api/poll";
import { hostHref } from "../host/address";
import { bytes, counted, duration, percent } from "../ui/format";
import { Link } from "../route";
import { useInSight } from "../ui/in-sight";
import { Trouble } from "../ui/trouble";
import { Fleet, SILENT_AFTER_S, WINDOW_S, type Host, type Spark } from "./fleet";
import { Meter } from "./meter";
import { Sparkline } from "./sparkline";

const REFRESH_MS = 15_000;

export function Hosts({ search }: { search: string }) {
  const [fleet] = useState(() => new Fleet());
  const { data, error } = usePoll("fleet", REFRESH_MS, (abort) => fleet.ask(Date.now(), abort));
  const wanted = search.trim().toLowerCase();
  const isShown = (host: Host) => host.name.toLowerCase().includes(wanted);
  return (
    <section aria-label="Hosts" class="hosts">
      <Trouble error={error} />
      {!data && (!error || error instanceof Away) && <p class="panel message">Asking for the hosts…</p>}
      {data && data.length === 0 && (
        <p class="panel message">
          No host has reported yet. Point an agent at this server; its card appears here within a
          minute.
        </p>
      )}
      {data && data.length > 0 && !data.some(isShown) && (
        <p class="panel message">No host’s name contains “{search}”.</p>
      )}
      {data?.map((host) => (
        <Card key={host.name} host={host} isShown={isShown(host)} />
      ))}
    </section>
  );
}

interface CardProps {
  host: Host;
  isShown: boolean;
}

/** Filtering hides and shows cards and draws none anew, news are drawn where they are seen: of
 * hundreds each would be felt. */
function Card({ host, isShown }: CardProps) {
  const isSilent = !(Date.now() / 1000 - host.seen_at < SILENT_AFTER_S);
  const box = useRef<HTMLElement>(null);
  const drawn = useRef(host);
  if (useInSight(box)) drawn.current = host;
  const content = useMemo(
    () => <Content host={drawn.current} isSilent={isSilent} />,
    [drawn.current, isSilent],
  );
  return (
    <article
      ref={box}
      class={`panel card${isSilent ? " silent" : ""}`}
      hidden={!isShown}
      data-testid="host-card"
    >
      {content}
    </article>
  );
}

function Content({ host, isSilent }: { host: Host; isSilent: boolean }) {
  const now = Date.now() / 1000;
  const window: [number, number] = [now - WINDOW_S, now];
  const memory = (100 * host.memory.used) / host.memory.total;
  const disk = (100 * host.disk.used) / host.disk.total;
  return (
    <>
      <Head host={host} now={now} isSilent={isSilent} silence={now - host.seen_at} />
      <dl>
        <dt>CPU</dt>
        <dd class="num" data-testid="host-cpu">
          {percent(isSilent ? NaN : latest(host.cpu))}
        </dd>
        <dd>
          <Sparkline lines={[host.cpu]} window={window} max={100} label="CPU, last 15 minutes" />
        </dd>
        <dt>Memory</dt>
        <dd class="num" title={share(host.memory.used, host.memory.total)}>
          {percent(memory)}
        </dd>
        <dd>
          <Sparkline
            lines={[host.memory.percent]}
            window={window}
            max={100}
            label="Memory, last 15 minutes"
          />
        </dd>
        <Rates
          name="Network"
          isSilent={isSilent}
          window={window}
          inward={{ word: "received", spark: host.received }}
          outward={{ word: "sent", spark: host.sent }}
        />
        <Rates
          name="Disk I/O"
          isSilent={isSilent}
          window={window}
          inward={{ word: "read", spark: host.read }}
          outward={{ word: "written", spark: host.written }}
        />
        <dt>Disk</dt>
        <dd class="num">{percent(disk)}</dd>
        <dd>
          <Meter percent={disk} label={`Fullest disk of ${host.name}`} warnAt={85} badAt={95} />
          <span class="muted small num ellipsis" title={host.disk.mountpoint}>
            {share(host.disk.used, host.disk.total)}
            {host.disk.mountpoint && ` on ${host.disk.mountpoint}`}
          </span>
        </dd>
      </dl>
    </>
  );
}

interface Direction {
  word: string;
  spark: Spark;
}

interface RatesProps {
  name: string;
  isSilent: boolean;
  window: [number, number];
  inward: Direction;
  outward: Direction;
}

/** Bytes a second in two directions, as a row of a card. */
function Rates({ name, isSilent, window, inward, outward }: RatesProps) {
  const peak = Math.max(0, ...inward.spark.values, ...outward.spark.values);
  return (
    <>
      <dt>{name}</dt>
      <dd class="num small rates">
        <span title={inward.word}>↓ {rate(inward.spark, isSilent)}</span>
        <span title={outward.word}>↑ {rate(outward.spark, isSilent)}</span>
      </dd>
      <dd>
        <Sparkline
          lines={[inward.spark, outward.spark]}
          window={window}
          label={`${name}, last 15 minutes, at most ${bytes(Math.round(peak))}/s`}
        />
      </dd>
    </>
  );
}

interface HeadProps {
  host: Host;
  now: number;
  isSilent: boolean;
  silence: number;
}

function Head({ host, now, isSilent, silence }: HeadProps) {
  const cores = Number.isFinite(host.n_cores) ? ` · ${counted(host.n_cores, "core")}` : "";
  const system = host.system + cores;
  return (
    <header>
      <span class="dot" aria-hidden="true" />
      <div class="who">
        <h2 class="ellipsis" title={host.name} data-testid="host-name">
          <Link href={hostHref(host.name)}>{host.name}</Link>
        </h2>
        <p class="muted small ellipsis" title={system}>
          {system}
        </p>
      </div>
      <p class="muted small num state">
        {isSilent ? (
          <strong>{Number.isFinite(silence) ? `silent for ${duration(silence)}` : "silent"}</strong>
        ) : (
          <>up {duration(now - host.booted_at)}</>
        )}
        <br />
        load {Number.isFinite(host.load1) ? host.load1.toFixed(2) : "–"}
        {Number.isFinite(host.temperature) && !isSilent && (
          <span title="hottest sensor"> · {Math.round(host.temperature)} °C</span>
        )}
      </p>
    </header>
  );
}

function share(used: number, total: number): string {
  return Number.isFinite(used) ? `${bytes(used)} of ${bytes(total)}` : "no data";
}

function latest(spark: Spark): number {
  return spark.values.at(-1) ?? NaN;
}

function rate(spark: Spark, isSilent: boolean): string {
  const now = latest(spark);
  return isSilent || !Number.isFinite(now) ? "–" : `${bytes(Math.round(now))}/s`;
}
