// What the store holds: how full it is, what takes the room, how long it stays and what goes next.
import type { ComponentChildren } from "preact";
import { storage, type Storage } from "../api/admin";
import { usePoll } from "../api/poll";
import { instant, last } from "../api/prometheus";
import { Meter } from "../home/meter";
import { bytes, duration, percent, value } from "../ui/format";
import { Trouble } from "../ui/trouble";
import { ago } from "./ago";
import { Days } from "./days";
import { MetricSizesPanel } from "./metric-sizes";
import { Rows, type Column } from "./rows";
import { Share } from "./share";
import { StreamVolumes } from "./stream-volumes";

const REFRESH_MS = 30_000;

export function StorageView() {
  const { data, error } = usePoll("storage", REFRESH_MS, storage);
  const { data: rates } = usePoll("ingest", REFRESH_MS, ingest);
  if (!data) {
    return (
      <section class="panel" aria-label="Storage">
        <Trouble error={error} />
        {!error && <p class="message">Asking for what is stored…</p>}
      </section>
    );
  }
  return (
    <>
      <Trouble error={error} />
      <Disk storage={data} rates={rates} />
      <Tables storage={data} />
      <Days tables={data.tables} next={data.next_out} />
      <div class="side-by-side">
        <MetricSizesPanel />
        <StreamVolumes />
      </div>
    </>
  );
}

interface Rates {
  samples: number;
  lines: number;
  bytes: number;
}

/** What came in a second, over the last minutes, by the server's own metrics. */
async function ingest(abort: AbortSignal): Promise<Rates> {
  const rate = async (name: string) =>
    last((await instant(`sum(rate(skep_receive_${name}_total[5m]))`, undefined, abort)).series[0]);
  const [samples, lines, received] = await Promise.all([rate("samples"), rate("entries"), rate("bytes")]);
  return { samples, lines, bytes: received };
}

function Disk({ storage: { disk, memory, retention }, rates }: { storage: Storage; rates: Rates | undefined }) {
  const now_s = Date.now() / 1000;
  const { used_bytes, max_bytes } = disk;
  return (
    <section class="panel" aria-label="Disk" data-testid="disk">
      <div class="panel-head">
        <h2>Disk</h2>
        {disk.is_full && <strong class="state-bad">full: writes are refused until there is room</strong>}
      </div>
      <dl class="facts-list">
        {used_bytes !== null && max_bytes !== null && (
          <Fact name="Used of store.max_bytes">
            {bytes(used_bytes)} of {bytes(max_bytes)} ({percent((100 * used_bytes) / max_bytes)})
            <Meter percent={(100 * used_bytes) / max_bytes} label="Use of store.max_bytes" warnAt={101} badAt={101} />
          </Fact>
        )}
        <Fact name="Free on the file system">{bytes(disk.free_bytes)}</Fact>
        <Fact name="Coming in">
          {rates && Number.isFinite(rates.samples)
            ? `${value(rates.samples)} samples/s, ${value(rates.lines)} lines/s, ${bytes(rates.bytes)}/s`
            : "not measured: self.metrics_interval is off, or has just begun"}
        </Fact>
        <Fact name="In memory, not on parts yet">
          {bytes(memory.bytes)} ({value(memory.samples + memory.histograms)} samples, {value(memory.lines)} lines)
        </Fact>
        <Fact name="Write-ahead log">{bytes(memory.wal_bytes)}</Fact>
        <Fact name="Last flush">
          {memory.last_flush_unix_ms === null
            ? "none since the start"
            : ago(memory.last_flush_unix_ms / 1000, now_s)}
        </Fact>
        <Fact name="Kept for">{kept(retention.seconds)}</Fact>
        {retention.samples_5m.is_made && <Fact name="Summed up by 5 min">{kept(retention.samples_5m.seconds)}</Fact>}
        {retention.samples_1h.is_made && <Fact name="Summed up by the hour">{kept(retention.samples_1h.seconds)}</Fact>}
        {retention.rules.map((it, i) => (
          <Fact key={i} name={`${it.table} ${it.selector}`}>
            {kept(it.seconds)}
          </Fact>
        ))}
        {disk.evicted_parts > 0 && (
          <Fact name="Let go since the start, for room">
            {bytes(disk.evicted_bytes)} in {disk.evicted_parts} parts
          </Fact>
        )}
        {disk.merges_postponed > 0 && <Fact name="Merges put off for want of room">{disk.merges_postponed}</Fact>}
        {disk.damaged_parts > 0 && (
          <Fact name="Damaged parts">
            <span class="state-bad">{disk.damaged_parts}</span>, which queries leave out; the log names them
          </Fact>
        )}
      </dl>
      {max_bytes === null && (
        <p class="admin-note">
          There is no cap: set <code>store.max_bytes</code> to have the oldest days go before the disk is full.
        </p>
      )}
    </section>
  );
}

function Fact({ name, children }: { name: string; children: ComponentChildren }) {
  return (
    <div>
      <dt>{name}</dt>
      <dd>{children}</dd>
    </div>
  );
}

function kept(seconds: number | null): string {
  return seconds === null ? "for ever" : duration(seconds);
}

interface TableRow {
  name: string;
  what: string;
  bytes: number;
  rows: number;
  parts: number;
  days: number;
}

const WHAT: Record<string, string> = {
  samples: "samples of series",
  histograms: "native histograms",
  logs: "log lines",
  samples_5m: "samples summed up in 5 minutes",
  samples_1h: "samples summed up in hours",
  series: "names and labels of series",
  streams: "labels of log streams",
};

function Tables({ storage: { tables, label_sets } }: { storage: Storage }) {
  const sets = Object.entries(label_sets).map(([name, { count, bytes }]) => {
    return { name, bytes, rows: count, parts: NaN, days: NaN };
  });
  const stored = tables.map((it) => ({ ...it, days: it.days.length }));
  const rows: TableRow[] = [...stored, ...sets].map((it) => ({ ...it, what: WHAT[it.name] ?? "" }));
  const total = rows.reduce((sum, it) => sum + it.bytes, 0);
  const columns: Column<TableRow>[] = [
    { title: "Table", by: (it) => it.name, cell: (it) => it.name },
    { title: "Holds", cell: (it) => <span class="muted">{it.what}</span> },
    { title: "Size", isNumber: true, by: (it) => it.bytes, cell: (it) => bytes(it.bytes) },
    { title: "Share", cell: (it) => <Share part={it.bytes} of={total} label={it.name} /> },
    { title: "Rows", isNumber: true, by: (it) => it.rows, cell: (it) => value(it.rows) },
    {
      title: "A row",
      hint: "bytes, on average",
      isNumber: true,
      by: (it) => it.bytes / it.rows,
      cell: (it) => (it.rows > 0 ? `${value(it.bytes / it.rows)} B` : "–"),
    },
    { title: "Parts", isNumber: true, by: (it) => it.parts, cell: (it) => known(it.parts) },
    { title: "Days", isNumber: true, by: (it) => it.days, cell: (it) => known(it.days) },
  ];
  return (
    <section class="panel" aria-label="Tables" data-testid="tables">
      <div class="panel-head">
        <h2>Tables</h2>
        <span class="muted small">{bytes(total)} in all, as of the last flush or merge</span>
      </div>
      <Rows label="Tables of the store" rows={rows} columns={columns} keyOf={(it) => it.name} />
    </section>
  );
}

function known(count: number): string {
  return Number.isNaN(count) ? "–" : String(count);
}
