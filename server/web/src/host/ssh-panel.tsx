// SSH logins of a host over the range, once there are any.
import "./ssh-panel.css";
import { usePoll } from "../api/poll";
import { Link } from "../route";
import { counted, duration } from "../ui/format";
import { gridOf, type TimeRange } from "../ui/range";
import { Trouble } from "../ui/trouble";
import { linesQuery, sshLogins, type Kind, type Login } from "./ssh-logins";

const REFRESH_MS = 60_000;
/** A longer window would read more lines than a page should. */
const WINDOW_S_MAX = 7 * 86_400;
const ROWS_MAX = 6;
const TITLES: Record<Kind, string> = { came_in: "Came in", refused: "Refused", sudo: "sudo" };
const EMPTY: Record<Kind, string> = {
  came_in: "Nobody came in.",
  refused: "Nobody was refused.",
  sudo: "Nothing was done by sudo.",
};
const KINDS: Kind[] = ["came_in", "refused", "sudo"];

interface Props {
  host: string;
  range: TimeRange;
}

export function SshPanel({ host, range }: Props) {
  const key = JSON.stringify([host, range]);
  const { start, end } = gridOf(range, Date.now());
  const seconds = Math.min(end - start, WINDOW_S_MAX);
  const { data, error } = usePoll(key, REFRESH_MS, (abort) => sshLogins(host, end, seconds, abort));
  const isEmpty = !data || KINDS.every((kind) => data[kind].length === 0);
  if (!error && isEmpty) return null;
  const from = String(Math.round((end - seconds) * 1000));
  const to = String(Math.round(end * 1000));
  return (
    <section class="panel ssh" aria-label="SSH logins" data-testid="ssh">
      <div class="panel-head">
        <h2>SSH logins</h2>
        <span class="muted small grow">{seconds < end - start && `of the newest ${duration(seconds)}`}</span>
      </div>
      <Trouble error={error} />
      {data && (
        <div class="ssh-kinds">
          {KINDS.map((kind) => (
            <div key={kind} data-testid={`ssh-${kind}`}>
              <h3>
                {TITLES[kind]}{" "}
                <Link href={`/explore?${new URLSearchParams({ logql: linesQuery(host, kind), from, to })}`}>
                  lines
                  <span class="visually-hidden"> of “{TITLES[kind]}”</span>
                </Link>
              </h3>
              <Logins rows={data[kind]} empty={EMPTY[kind]} />
            </div>
          ))}
        </div>
      )}
    </section>
  );
}

function Logins({ rows, empty }: { rows: Login[]; empty: string }) {
  if (rows.length === 0) return <p class="muted small">{empty}</p>;
  return (
    <>
      <ul class="small">
        {rows.slice(0, ROWS_MAX).map(({ user, from, how, count }) => (
          <li key={`${user} ${from} ${how}`}>
            <span class="ellipsis" title={user}>
              {user || "no name"}
            </span>
            <span class="mono ellipsis muted" title={from}>
              {from}
            </span>
            <span class="ellipsis muted">{how}</span>
            <span class="num">{count}×</span>
          </li>
        ))}
      </ul>
      {rows.length > ROWS_MAX && <p class="muted small">and {counted(rows.length - ROWS_MAX, "more row")}</p>}
    </>
  );
}
