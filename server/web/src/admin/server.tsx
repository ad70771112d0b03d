// What the server says of itself: charts of its own metrics, and what its log warns of.
import { usePoll } from "../api/poll";
import { queryRange } from "../api/loki";
import { instant } from "../api/prometheus";
import { changed } from "../host/address";
import { ChartsView } from "../host/charts-view";
import { go, Link, useRoute } from "../route";
import { gridOf, rangeOf, type TimeRange } from "../ui/range";
import { RangePicker } from "../ui/range-picker";
import { LineList } from "../ui/lines";
import { Trouble } from "../ui/trouble";
import { JOB, SERVER_CHARTS } from "./server-charts";

const REFRESH_MS = 15_000;
const LINES_REFRESH_MS = 30_000;
const LINES_MAX = 200;
/** As its unit's lines come from the journal; both of its formats write levels so. */
const LOG = '{unit="skep-server.service"}';
const WARNINGS = `${LOG} |~ "\\\\b(WARN|ERROR)\\\\b"`;

export function ServerView() {
  const { path, query } = useRoute();
  const range = rangeOf(query);
  const { data: names, error } = usePoll("server", REFRESH_MS, servers);
  const change = (changes: Record<string, string | undefined>) =>
    go(`${path}?${changed(new URLSearchParams(location.search), changes)}`);
  const host = names?.find((it) => it === query.get("server")) ?? names?.[0];
  return (
    <>
      <div class="server-head">
        <h2 class="grow ellipsis" title={host}>
          {host ?? "Server"}
        </h2>
        {names && names.length > 1 && (
          <select
            aria-label="Server"
            value={host}
            onChange={(event) => change({ server: event.currentTarget.value })}
          >
            {names.map((it) => (
              <option key={it}>{it}</option>
            ))}
          </select>
        )}
        <RangePicker key={JSON.stringify(range)} range={range} change={change} />
      </div>
      <Trouble error={error} />
      {!names && !error && <p class="panel message">Asking for the server’s own metrics…</p>}
      {names?.length === 0 && (
        <p class="panel message">
          The store has none of this server’s own metrics of the last hour. <code>self.metrics_interval</code> in
          its configuration says how often it stores them; <code>"15s"</code> is the default.
        </p>
      )}
      {host !== undefined && (
        <ChartsView
          specs={SERVER_CHARTS}
          of={{ host }}
          range={range}
          marked={undefined}
          action="Show lines"
          take={({ from, to }) => {
            const ms = (seconds: number) => String(Math.round(seconds * 1000));
            go(`/explore?${new URLSearchParams({ logql: LOG, from: ms(from), to: ms(to) })}`);
          }}
        />
      )}
      <Warnings range={range} />
    </>
  );
}

/** Who has stored metrics of their own. */
async function servers(abort: AbortSignal): Promise<string[]> {
  const query = `group by (instance) (last_over_time(skep_store_series{${JOB}}[1h]))`;
  const { series } = await instant(query, undefined, abort);
  return series.map(({ labels }) => labels.instance ?? "").sort();
}

function Warnings({ range }: { range: TimeRange }) {
  const key = JSON.stringify(range);
  const { data, error } = usePoll(`warnings ${key}`, LINES_REFRESH_MS, async (abort) => {
    const answer = await queryRange(WARNINGS, gridOf(range, Date.now()), LINES_MAX, abort);
    return answer.type === "lines" ? answer.lines : [];
  });
  const explore = `/explore?${new URLSearchParams({ logql: WARNINGS })}`;
  return (
    <section class="panel" aria-label="Warnings and errors" data-testid="warnings">
      <div class="panel-head">
        <h2 class="grow">Warnings and errors</h2>
        <Link class="small" href={explore}>
          Open in Explore
        </Link>
      </div>
      <Trouble error={error} />
      {!data && !error && <p class="message">Asking for the lines…</p>}
      {data?.length === 0 && (
        <p class="message">
          None in this time among the lines of <code>skep-server.service</code>, which the agent of the server’s own
          host sends from its journal.
        </p>
      )}
      {data && data.length > 0 && <LineList lines={data} />}
    </section>
  );
}
