// How full the file systems of a host are, and when they will be if they go on like this.
import "./file-systems.css";
import { usePoll } from "../api/poll";
import { instant, last, type Series } from "../api/prometheus";
import { Meter } from "../home/meter";
import { bytes, duration, percent } from "../ui/format";
import { Trouble } from "../ui/trouble";
import { DISKS, matchers } from "./scope";

const REFRESH_MS = 60_000;
/** Over which the growth is measured, and how far it is believed. */
const GROWTH = "6h";
/** A file system that is watched for less has no trend yet. */
const GROWTH_MIN = "3h";
const HORIZON_S = 30 * 86_400;

interface FileSystem {
  mountpoint: string;
  device: string;
  fstype: string;
  size: number;
  available: number;
  /** Seconds; NaN if it does not fill up soon. */
  full_in: number;
}

export function FileSystems({ host }: { host: string }) {
  const { data, error } = usePoll(host, REFRESH_MS, (abort) => fileSystems(host, abort));
  if (!error && (!data || data.length === 0)) return null;
  return (
    <section class="panel file-systems" aria-label="File systems">
      <div class="panel-head">
        <h2>File systems</h2>
      </div>
      <Trouble error={error} />
      <ul>
        {data?.map((it) => {
          const used = (100 * (it.size - it.available)) / it.size;
          return (
            <li key={`${it.mountpoint} ${it.device}`}>
              <span class="mono small ellipsis" title={`${it.mountpoint} (${it.device}, ${it.fstype})`}>
                {it.mountpoint}
              </span>
              <span class="muted small ellipsis">{it.fstype}</span>
              <Meter percent={used} label={`Use of ${it.mountpoint}`} warnAt={85} badAt={95} />
              <span class="num small">{percent(used)}</span>
              <span class="num small muted">
                {bytes(it.available)} of {bytes(it.size)} free
              </span>
              <span class="small warn">
                {it.full_in > 0 && `full in ${duration(it.full_in)} if it goes on like this`}
              </span>
            </li>
          );
        })}
      </ul>
    </section>
  );
}

async function fileSystems(host: string, abort: AbortSignal): Promise<FileSystem[]> {
  const of = matchers({ host }, DISKS);
  const ask = async (query: string) => (await instant(query, undefined, abort)).series;
  const [sizes, available, growth] = await Promise.all([
    ask(`node_filesystem_size_bytes{${of}}`),
    ask(`node_filesystem_avail_bytes{${of}}`),
    ask(`deriv(node_filesystem_avail_bytes{${of}}[${GROWTH}]) and node_filesystem_avail_bytes{${of}} offset ${GROWTH_MIN}`),
  ]);
  const rows = sizes.map((series) => {
    const { mountpoint = "", device = "", fstype = "" } = series.labels;
    const same = (it: Series) => it.labels.mountpoint === mountpoint && it.labels.device === device;
    const free = last(available.find(same));
    const full_in = free / -last(growth.find(same));
    const isSoon = full_in > 0 && full_in < HORIZON_S;
    return { mountpoint, device, fstype, size: last(series), available: free, full_in: isSoon ? full_in : NaN };
  });
  const real = rows.filter(({ size, available }) => size > 0 && Number.isFinite(available));
  return real.sort((a, b) => a.mountpoint.localeCompare(b.mountpoint));
}
