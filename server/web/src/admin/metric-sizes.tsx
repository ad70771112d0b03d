// What each metric takes on the disk, about, and the way to why it has so many series.
import { metricSizes, type MetricSizes } from "../api/admin";
import { usePoll } from "../api/poll";
import { Link } from "../route";
import { bytes, counted, value } from "../ui/format";
import { Trouble } from "../ui/trouble";
import { cardinalityHref } from "./address";
import { Rows, type Column } from "./rows";
import { Share } from "./share";

const REFRESH_MS = 120_000;
const N_LISTED = 200;

type Size = MetricSizes["metrics"][number];

export function MetricSizesPanel() {
  const { data, error } = usePoll("metrics", REFRESH_MS, (abort) => metricSizes(N_LISTED, abort));
  const total = data?.estimated_bytes ?? 0;
  const columns: Column<Size>[] = [
    {
      title: "Metric",
      by: (it) => it.name,
      cell: (it) => (
        <Link class="name mono ellipsis" title={it.name} href={cardinalityHref(it.name)}>
          {it.name}
        </Link>
      ),
    },
    { title: "About", isNumber: true, by: (it) => it.estimated_bytes, cell: (it) => bytes(it.estimated_bytes) },
    { title: "Share", cell: (it) => <Share part={it.estimated_bytes} of={total} label={it.name} /> },
    { title: "Series", isNumber: true, by: (it) => it.series, cell: (it) => value(it.series) },
  ];
  return (
    <section class="panel" aria-label="Size by metric" data-testid="metric-sizes">
      <div class="panel-head">
        <h2>Size by metric</h2>
        <span class="muted small">
          {data && `${counted(data.n_metrics, "metric")}${data.n_metrics > N_LISTED ? `, the ${N_LISTED} greatest` : ""}`}
        </span>
      </div>
      <Trouble error={error} />
      {data?.metrics.length === 0 && <p class="message">No metric has come in yet.</p>}
      {data && data.metrics.length > 0 && (
        <>
          <Rows label="Size by metric" rows={data.metrics} columns={columns} keyOf={(it) => it.name} />
          <p class="admin-note">
            An estimate: as if all series of a day took the same. Rare and constant ones take less.
          </p>
        </>
      )}
    </section>
  );
}
