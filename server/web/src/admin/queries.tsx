// Queries at work, which can be ended, and those that took the longest and came last.
import { useState } from "preact/hooks";
import { cancelQuery, queries, type Query } from "../api/admin";
import { usePoll } from "../api/poll";
import { Link, useRoute } from "../route";
import { bytes, timeOfDay, value } from "../ui/format";
import { Trouble } from "../ui/trouble";
import { exploreHref } from "./address";
import { Rows, type Column } from "./rows";

const REFRESH_MS = 3_000;
const N_LISTED = 100;
const NAMES: Record<Query["language"], string> = { promql: "PromQL", logql: "LogQL", sql: "SQL" };

export function QueriesView() {
  const { query } = useRoute();
  const { data, error } = usePoll("queries", REFRESH_MS, (abort) => queries(N_LISTED, abort));
  const [ending, setEnding] = useState<ReadonlySet<number>>(new Set());
  const [fault, setFault] = useState<Error>();
  const cancel = async (id: number) => {
    setEnding((old) => new Set(old).add(id));
    setFault(undefined);
    try {
      await cancelQuery(id);
    } catch (error) {
      setFault(error as Error);
    }
  };
  const now = Date.now();
  const over = columns(now);
  const atWork: Column<Query>[] = [
    ...over.filter((it) => it.title !== "Answer" && it.title !== "End"),
    { title: "State", by: (it) => it.state, cell: (it) => it.state },
    {
      title: "Cancel",
      cell: (it) => (
        <button type="button" disabled={ending.has(it.id)} onClick={() => cancel(it.id)}>
          {ending.has(it.id) ? "Ending…" : "Cancel"}
        </button>
      ),
    },
  ];
  const list = query.get("list") === "newest" ? "newest" : "slowest";
  const rows = list === "newest" ? data?.recent : data?.slowest;
  const keyOf = (it: Query) => String(it.id);
  return (
    <>
      <section class="panel" aria-label="Queries at work" data-testid="running-queries">
        <div class="panel-head">
          <h2>At work</h2>
          <span class="muted small num">{data && value(data.running.length)}</span>
        </div>
        <Trouble error={fault ?? error} />
        {!data && !error && <p class="message">Asking for the queries…</p>}
        {data?.running.length === 0 && <p class="message">No query is at work.</p>}
        {data && data.running.length > 0 && (
          <Rows label="Queries at work" rows={data.running} columns={atWork} keyOf={keyOf} />
        )}
      </section>
      <section class="panel" aria-label="Queries that ended" data-testid="ended-queries">
        <div class="panel-head">
          <h2 class="grow">{list === "newest" ? "Newest" : "Slowest of 24 hours"}</h2>
          <nav class="segmented-links" aria-label="Which queries">
            <Link href="/admin/queries" aria-current={list === "slowest" ? "page" : undefined}>
              Slowest
            </Link>
            <Link href="/admin/queries?list=newest" aria-current={list === "newest" ? "page" : undefined}>
              Newest
            </Link>
          </nav>
        </div>
        {rows?.length === 0 && (
          <p class="message">
            No query has ended since the server began, or <code>query.history</code> is 0.
          </p>
        )}
        {rows && rows.length > 0 && <Rows label={`${list} queries`} rows={rows} columns={over} keyOf={keyOf} />}
      </section>
    </>
  );
}

function columns(now: number): Column<Query>[] {
  return [
    { title: "Query", by: (it) => it.query, cell: (it) => <Text query={it} /> },
    { title: "Language", by: (it) => it.language, cell: (it) => <span title={it.path}>{NAMES[it.language]}</span> },
    { title: "By", by: (it) => it.user ?? "", cell: (it) => <By query={it} /> },
    {
      title: "Began",
      by: (it) => it.started_unix_ms,
      cell: (it) => <span class="num">{timeOfDay(it.started_unix_ms, now)}</span>,
    },
    {
      title: "Took",
      hint: "with the time it waited for its turn",
      isNumber: true,
      by: (it) => it.seconds,
      cell: (it) => <span title={`${took(it.queued_seconds)} of it in the queue`}>{took(it.seconds)}</span>,
    },
    {
      title: "CPU",
      hint: "of the thread that evaluated it; what others read for it is not in it",
      isNumber: true,
      by: (it) => it.cpu_seconds,
      cell: (it) => took(it.cpu_seconds),
    },
    { title: "Read", hint: "samples, lines or rows", isNumber: true, by: (it) => it.rows, cell: (it) => <Read query={it} /> },
    { title: "Answer", isNumber: true, by: (it) => it.answer_bytes, cell: (it) => bytes(it.answer_bytes) },
    { title: "End", by: (it) => it.state, cell: (it) => <End query={it} /> },
  ];
}

function Text({ query: { language, query, span, is_cut } }: { query: Query }) {
  const text = is_cut ? `${query}…` : query;
  const href = is_cut ? undefined : exploreHref({ language, query, span });
  if (href === undefined) {
    return (
      <span class="name mono ellipsis" title={text}>
        {text}
      </span>
    );
  }
  return (
    <Link class="name mono ellipsis" title={text} href={href}>
      {text}
    </Link>
  );
}

function By({ query: { user, client_ip } }: { query: Query }) {
  return <span title={client_ip ?? undefined}>{user ?? client_ip ?? "–"}</span>;
}

const READ: Record<Query["language"], string> = { promql: "samples", logql: "lines", sql: "rows" };

function Read({ query: { language, rows, read_bytes } }: { query: Query }) {
  const more = read_bytes > 0 ? `, ${bytes(read_bytes)}` : "";
  return <span title={`${rows} ${READ[language]}${more}`}>{value(rows)}</span>;
}

function End({ query: { state, error } }: { query: Query }) {
  if (state === "failed") {
    return (
      <span class="name ellipsis state-bad" title={error}>
        {error}
      </span>
    );
  }
  return <span class={state === "done" ? "muted" : "state-warn"}>{state}</span>;
}

function took(seconds: number): string {
  if (seconds >= 0.9995) return `${Number(seconds.toPrecision(3))} s`;
  return `${Number((seconds * 1000).toPrecision(2))} ms`;
}
