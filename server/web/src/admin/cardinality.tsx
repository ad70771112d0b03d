// Why there are so many series: from metrics to their labels to the values of one.
import { useState } from "preact/hooks";
import { cardinality, type Cardinality, type Ranked } from "../api/admin";
import { usePoll } from "../api/poll";
import { Link, useRoute } from "../route";
import { value } from "../ui/format";
import { Trouble } from "../ui/trouble";
import { cardinalityHref, exploreHref, selector } from "./address";
import { Rows, type Column } from "./rows";
import { Share } from "./share";

const REFRESH_MS = 60_000;
const N_LISTED = 500;

export function CardinalityView() {
  const { query } = useRoute();
  const metric = query.get("metric") ?? undefined;
  const label = query.get("label") ?? undefined;
  const key = JSON.stringify([metric, label]);
  const { data, error } = usePoll(key, REFRESH_MS, async (abort) => {
    const match = metric === undefined ? {} : { match: selector(metric, {}) };
    const focus = label === undefined ? {} : { focus: label };
    return { key, found: await cardinality({ ...match, ...focus, limit: N_LISTED }, abort) };
  });
  const found = data?.key === key ? data.found : undefined;
  const n_series = found?.headStats.numSeries ?? 0;
  return (
    <section class="panel" aria-label="Cardinality" data-testid="cardinality">
      <div class="panel-head">
        <Crumbs metric={metric} label={label} />
        <span class="muted small">{found && `${value(n_series)} series`}</span>
      </div>
      <Trouble error={error} />
      {!found && !error && <p class="message">Counting series…</p>}
      {found && n_series === 0 && (
        <p class="message">
          {metric === undefined ? "No series has come in yet." : `There are no series of ${metric} any more.`}
        </p>
      )}
      {found && n_series > 0 && <Level key={key} found={found} metric={metric} label={label} />}
    </section>
  );
}

function Crumbs({ metric, label }: { metric: string | undefined; label: string | undefined }) {
  return (
    <h2 class="crumbs">
      {metric === undefined && label === undefined ? "All series" : <Link href={cardinalityHref()}>All series</Link>}
      {metric !== undefined && (
        <>
          <span aria-hidden="true">›</span>
          {label === undefined ? <span class="mono">{metric}</span> : <Link class="mono" href={cardinalityHref(metric)}>{metric}</Link>}
        </>
      )}
      {label !== undefined && (
        <>
          <span aria-hidden="true">›</span>
          <span class="mono">{label}</span>
        </>
      )}
    </h2>
  );
}

interface LevelProps {
  found: Cardinality;
  metric: string | undefined;
  label: string | undefined;
}

function Level({ found, metric, label }: LevelProps) {
  const n_series = found.headStats.numSeries;
  if (label !== undefined) {
    const values = found.seriesCountByFocusLabelValue ?? [];
    const href = (it: Ranked) =>
      exploreHref({ language: "promql", query: selector(metric, { [label]: it.name }) }) ?? "";
    return <Ranking title="Value" rows={values} n_series={n_series} href={href} hrefTitle="Show it in Explore" />;
  }
  const labels = (
    <Labels found={found} metric={metric} />
  );
  if (metric !== undefined) return labels;
  return (
    <>
      <Ranking
        title="Metric"
        rows={found.seriesCountByMetricName}
        n_series={n_series}
        href={(it) => cardinalityHref(it.name)}
        hrefTitle="Show its labels"
      />
      <div class="panel-head">
        <h3>Labels of all metrics</h3>
      </div>
      {labels}
    </>
  );
}

interface RankingProps {
  title: string;
  rows: Ranked[];
  n_series: number;
  href: (row: Ranked) => string;
  hrefTitle: string;
}

function Ranking({ title, rows, n_series, href, hrefTitle }: RankingProps) {
  const [text, setText] = useState("");
  const shown = rows.filter((it) => it.name.toLowerCase().includes(text.toLowerCase()));
  const columns: Column<Ranked>[] = [
    {
      title,
      by: (it) => it.name,
      cell: (it) => (
        <Link class="name mono ellipsis" title={`${it.name}: ${hrefTitle}`} href={href(it)}>
          {it.name}
        </Link>
      ),
    },
    { title: "Series", isNumber: true, by: (it) => it.value, cell: (it) => value(it.value) },
    { title: "Share", cell: (it) => <Share part={it.value} of={n_series} label={it.name} /> },
  ];
  return (
    <>
      <div class="admin-note">
        <input
          type="search"
          aria-label={`Filter by ${title.toLowerCase()}`}
          placeholder={`Filter by ${title.toLowerCase()}…`}
          value={text}
          onInput={(event) => setText(event.currentTarget.value)}
        />
        {rows.length === N_LISTED && ` The ${N_LISTED} with the most series.`}
      </div>
      {shown.length === 0 ? (
        <p class="message">Nothing is called like this.</p>
      ) : (
        <Rows label={`Series by ${title.toLowerCase()}`} rows={shown} columns={columns} keyOf={(it) => it.name} />
      )}
    </>
  );
}

interface LabelRow {
  name: string;
  values: number;
  series: number;
}

function Labels({ found, metric }: { found: Cardinality; metric: string | undefined }) {
  const series = new Map(found.seriesCountByLabelName.map((it) => [it.name, it.value]));
  const all = found.labelValueCountByLabelName.filter((it) => it.name !== "__name__");
  const rows = all.map((it) => ({ name: it.name, values: it.value, series: series.get(it.name) ?? NaN }));
  const columns: Column<LabelRow>[] = [
    {
      title: "Label",
      by: (it) => it.name,
      cell: (it) => (
        <Link class="name mono ellipsis" title={`${it.name}: show its values`} href={cardinalityHref(metric, it.name)}>
          {it.name}
        </Link>
      ),
    },
    { title: "Values", isNumber: true, by: (it) => it.values, cell: (it) => value(it.values) },
    { title: "Series", hint: "that have it", isNumber: true, by: (it) => it.series, cell: (it) => value(it.series) },
    { title: "Share", cell: (it) => <Share part={it.series} of={found.headStats.numSeries} label={it.name} /> },
  ];
  if (rows.length === 0) return <p class="message">Its one series has no labels.</p>;
  return <Rows label="Labels" rows={rows} columns={columns} keyOf={(it) => it.name} />;
}
