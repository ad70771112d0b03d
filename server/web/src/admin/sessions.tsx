// Logins: one's own and everybody's.
import { useState } from "preact/hooks";
import { endMySessions, endSession, me, sessions, type Session } from "../api/admin";
import { usePoll } from "../api/poll";
import { fullTime } from "../ui/format";
import { Trouble } from "../ui/trouble";
import { ago, ahead } from "./ago";
import { Confirm } from "./confirm";
import { Rows, type Column } from "./rows";

const REFRESH_MS = 30_000;

interface Ending {
  title: string;
  text: string;
  run: () => Promise<unknown>;
}

export function Sessions() {
  const [n_changes, setChanges] = useState(0);
  const { data, error } = usePoll(`sessions ${n_changes}`, REFRESH_MS, async (abort) => {
    const [all, who] = await Promise.all([sessions("all", abort), me(abort)]);
    return { all, who };
  });
  const [ending, setEnding] = useState<Ending>();
  const now_s = Date.now() / 1000;
  const isThis = (it: Session) => it.id === data?.who.session;
  const columns: Column<Session>[] = [
    {
      title: "Who",
      by: (it) => it.user,
      cell: (it) => (
        <>
          {it.user} {isThis(it) && <span class="tag">this one</span>}
        </>
      ),
    },
    {
      title: "Browser",
      by: (it) => it.browser,
      cell: (it) => (
        <span class="name ellipsis" title={it.browser}>
          {it.browser || "–"}
        </span>
      ),
    },
    { title: "From", by: (it) => it.peer ?? "", cell: (it) => it.peer ?? "–" },
    { title: "On", by: (it) => it.host ?? "", cell: (it) => it.host ?? "–" },
    {
      title: "Began",
      by: (it) => it.created_unix_s,
      cell: (it) => <span title={fullTime(it.created_unix_s * 1000)}>{ago(it.created_unix_s, now_s)}</span>,
    },
    { title: "Ends", by: (it) => it.expires_unix_s, cell: (it) => ahead(it.expires_unix_s, now_s) },
    {
      title: "Log out",
      cell: (it) => (
        <button
          type="button"
          aria-label={`Log out ${it.user}, ${it.id}`}
          onClick={() =>
            setEnding({
              title: `Log out ${it.user}`,
              text: isThis(it)
                ? "This is the login you are using: you will have to log in again."
                : `${it.user} has to log in again there, and on all sites that this login opened.`,
              run: () => endSession(it.id),
            })
          }
        >
          Log out
        </button>
      ),
    },
  ];
  return (
    <section class="panel" aria-label="Logins" data-testid="sessions">
      <div class="panel-head">
        <h2 class="grow">Logins</h2>
        <button
          type="button"
          onClick={() =>
            setEnding({
              title: "Log out everywhere",
              text: "Ends all your own logins, this one too. You will have to log in again.",
              run: endMySessions,
            })
          }
        >
          Log me out everywhere
        </button>
      </div>
      <Trouble error={error} />
      {!data && !error && <p class="message">Asking for the logins…</p>}
      {data?.all.length === 0 && <p class="message">Nobody is logged in on the page.</p>}
      {data && data.all.length > 0 && <Rows label="Logins" rows={data.all} columns={columns} keyOf={(it) => it.id} />}
      {ending && (
        <Confirm
          {...ending}
          action="Log out"
          onClose={() => {
            setEnding(undefined);
            setChanges((n) => n + 1);
          }}
        />
      )}
    </section>
  );
}
