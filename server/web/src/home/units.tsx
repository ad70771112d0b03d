// Which systemd units burn the CPU now; nothing at all where no agent reports units.
import "./units.css";
import { usePoll } from "../api/poll";
import { range, type Series } from "../api/prometheus";
import { Meter } from "./meter";

/** As fast as samples come; on this grid the server answers all tabs at once. */
const GRID_S = 15;
const QUERY = "topk(12, rate(unit_cpu_seconds_total[1m]))";

export function Units({ search }: { search: string }) {
  const { data } = usePoll("units", GRID_S * 1000, busiest);
  const wanted = search.trim().toLowerCase();
  const rows = (data ?? [])
    .map(({ labels, values }) => ({
      unit: labels.unit ?? labels.cgroup ?? "–",
      host: labels.instance ?? "",
      cores: values.at(-1) ?? 0,
    }))
    .filter((row) => row.host.toLowerCase().includes(wanted))
    .sort((a, b) => b.cores - a.cores);
  if (rows.length === 0) return null;
  const top = Math.max(0.001, rows[0]?.cores ?? 0);
  return (
    <section class="panel units" aria-label="Units">
      <div class="panel-head">
        <h2 class="grow">Busiest units</h2>
        <span class="muted small">CPU, last minute</span>
      </div>
      <ul>
        {rows.map((row) => (
          <li key={`${row.host} ${row.unit}`}>
            <span class="ellipsis" title={row.unit}>
              {row.unit}
            </span>
            <span class="muted small ellipsis" title={row.host}>
              {row.host}
            </span>
            <span class="num">{(100 * row.cores).toFixed(1)} %</span>
            <Meter
              percent={(100 * row.cores) / top}
              label={`CPU of ${row.unit} against the busiest`}
              warnAt={Infinity}
              badAt={Infinity}
            />
          </li>
        ))}
      </ul>
    </section>
  );
}

function busiest(abort: AbortSignal): Promise<Series[]> {
  const end = Math.ceil(Date.now() / 1000 / GRID_S) * GRID_S;
  return range(QUERY, { start: end, end, step: GRID_S }, abort).then((it) => it.series);
}
