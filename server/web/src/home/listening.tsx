// Units that wait for connections, found by themselves on every host.
import "./listening.css";
import { useRef } from "preact/hooks";
import { usePoll } from "../api/poll";
import { unitHref } from "../host/address";
import { Link } from "../route";
import { counted } from "../ui/format";
import { useRowsInSight } from "../ui/windowed";
import { listeningUnits, type ListeningUnit } from "./listening-units";
import { fits } from "./view";

const REFRESH_MS = 60_000;
const ROW_PX = 36;

export function Listening({ search, hide }: { search: string; hide: string[] }) {
  const { data } = usePoll("listening", REFRESH_MS, (abort) => listeningUnits(Date.now(), abort));
  const rows = (data ?? []).filter(
    (it) => !hide.includes(it.unit) && (search.trim() === "" || fits(search, it.unit, it.host)),
  );
  if (rows.length === 0) return null;
  return (
    <section class="panel listening" aria-label="Listening units">
      <div class="panel-head">
        <h2 class="grow">Listening units</h2>
        <span class="muted small num">{counted(rows.length, "unit")}</span>
      </div>
      <Rows rows={rows} />
    </section>
  );
}

function Rows({ rows }: { rows: ListeningUnit[] }) {
  const box = useRef<HTMLDivElement>(null);
  const { first, end } = useRowsInSight(box, rows.length, ROW_PX);
  return (
    <div class="rows" ref={box} tabIndex={0} role="region" aria-label="Listening units, scrollable">
      <ul style={{ height: `${rows.length * ROW_PX}px`, paddingTop: `${first * ROW_PX}px` }}>
        {rows.slice(first, end).map(({ host, unit, sockets }) => (
          <li key={`${host} ${unit}`}>
            <Link class="ellipsis" href={unitHref(host, unit)} title={unit}>
              {unit}
            </Link>
            <span class="muted small ellipsis" title={host}>
              {host}
            </span>
            <span class="muted small num ellipsis" title={sockets}>
              {sockets}
            </span>
          </li>
        ))}
      </ul>
    </div>
  );
}
