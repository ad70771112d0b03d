// The page of a host or of one of its units: head, cause of a marked span, charts, file systems, units.
import { useEffect } from "preact/hooks";
import { usePoll } from "../api/poll";
import type { Span } from "../chart/selection";
import { go, Link, useRoute } from "../route";
import { rangeOf } from "../ui/range";
import { Trouble } from "../ui/trouble";
import { changed, hostHref, placeOf, spanOf, type Place } from "./address";
import { Cause } from "./cause";
import { HOST_CHARTS } from "./charts";
import { ChartsView } from "./charts-view";
import { FileSystems } from "./file-systems";
import { Head, SILENT_AFTER_S } from "./head";
import { identity, type Identity } from "./identity";
import { resourceOf, type ResourceId } from "./resources";
import { SshPanel } from "./ssh-panel";
import { UnitView } from "./unit";
import { UnitTable } from "./unit-table";

const REFRESH_MS = 15_000;

export function Host() {
  const { path } = useRoute();
  const place = placeOf(path);
  if (!place) {
    return (
      <p class="panel message">
        No host stands at this address. <Link href="/">Home</Link> lists them all.
      </p>
    );
  }
  // Another host, another page: nothing of the one before may be seen.
  return <Page key={JSON.stringify(place)} {...place} />;
}

function Page({ host, unit }: Place) {
  const { query } = useRoute();
  const range = rangeOf(query);
  const { data, error } = usePoll(host, REFRESH_MS, (abort) =>
    identity(host, Date.now() / 1000, abort),
  );
  useEffect(() => {
    document.title = `${unit ?? host} · Skep`;
    return () => {
      document.title = "Skep";
    };
  }, [host, unit]);
  const container = query.get("container") ?? "";
  const head = { host, range, identity: data, ...(unit === undefined ? {} : { unit, container }) };
  return (
    <>
      <Head {...head} />
      <Trouble error={error} />
      {data && !data.isKnown && <Unknown host={host} />}
      {data?.isKnown && range.kind === "last" && (
        <Silent host={host} identity={data} seconds={range.seconds} />
      )}
      {data?.isKnown !== false &&
        (unit === undefined ? (
          <HostView host={host} />
        ) : (
          <UnitView host={host} unit={unit} range={range} />
        ))}
    </>
  );
}

function HostView({ host }: { host: string }) {
  const { path, query } = useRoute();
  const range = rangeOf(query);
  const marked = spanOf(query);
  const change = (changes: Record<string, string | undefined>) =>
    go(`${path}?${changed(new URLSearchParams(location.search), changes)}`);
  const take = (span: Span, resource: ResourceId | undefined) => {
    const [a, b] = [Math.round(span.from), Math.round(span.to)];
    change({ a: String(a), b: String(b), cause: resource ?? "cpu", unit: undefined, show: undefined });
  };
  return (
    <>
      <ChartsView specs={HOST_CHARTS} of={{ host }} range={range} marked={marked} action="Find cause" take={take} />
      {marked && (
        <Cause
          host={host}
          span={marked}
          resource={resourceOf(query.get("cause")) ?? "cpu"}
          change={change}
        />
      )}
      <FileSystems host={host} />
      <SshPanel host={host} range={range} />
      <UnitTable host={host} range={range} change={change} />
    </>
  );
}

function Unknown({ host }: { host: string }) {
  return (
    <p class="panel message" role="alert" data-testid="unknown-host">
      No host named “{host}” has reported in the last year. If it should: is its agent running, and
      does it send to this server? <Link href="/">Home</Link> lists the hosts that do.
    </p>
  );
}

interface SilentProps {
  host: string;
  identity: Identity;
  /** What is shown, up to now. */
  seconds: number;
}

/** For a host whose last samples lie before what is shown. */
function Silent({ host, identity, seconds }: SilentProps) {
  const { query } = useRoute();
  const silence = Date.now() / 1000 - identity.seen_at;
  if (!(silence > Math.max(SILENT_AFTER_S, seconds))) return null;
  const to = Math.ceil(identity.seen_at / 60) * 60;
  const span = { range: undefined, from: String((to - 3600) * 1000), to: String(to * 1000) };
  return (
    <p class="panel message" data-testid="silent-host">
      {host} has sent nothing in this time.{" "}
      <Link href={hostHref(host, changed(query, span))}>Show its last hour</Link>
    </p>
  );
}
