// Tokens and agents' credentials: made, shown once, and revoked.
import { useState } from "preact/hooks";
import { revokeToken, tokens, type Token } from "../api/admin";
import { usePoll } from "../api/poll";
import { fullTime } from "../ui/format";
import { Trouble } from "../ui/trouble";
import { ago, ahead } from "./ago";
import { Confirm } from "./confirm";
import { NewToken } from "./new-token";
import { Rows, type Column } from "./rows";

const REFRESH_MS = 30_000;

export function Tokens() {
  const [n_changes, setChanges] = useState(0);
  const { data, error } = usePoll(`tokens ${n_changes}`, REFRESH_MS, tokens);
  const [isMaking, setMaking] = useState(false);
  const [revoking, setRevoking] = useState<Token>();
  const changed = () => setChanges((n) => n + 1);
  const now_s = Date.now() / 1000;
  const columns: Column<Token>[] = [
    {
      title: "Name",
      by: (it) => it.name,
      cell: (it) => (
        <span class="name ellipsis" title={it.name}>
          {it.name}
        </span>
      ),
    },
    { title: "Of", by: (it) => it.kind, cell: (it) => (it.kind === "agent" ? "an agent" : "a program") },
    { title: "May", by: (it) => it.scopes.join(), cell: (it) => it.scopes.join(", ") },
    {
      title: "Last used",
      hint: "to some minutes",
      by: (it) => it.last_used_unix_s ?? NaN,
      cell: (it) => ago(it.last_used_unix_s, now_s),
    },
    {
      title: "Made",
      by: (it) => it.created_unix_s,
      cell: (it) => <span title={fullTime(it.created_unix_s * 1000)}>{ago(it.created_unix_s, now_s)}</span>,
    },
    {
      title: "Ends",
      by: (it) => it.expires_unix_s ?? NaN,
      cell: (it) => <Ends at={it.expires_unix_s} now_s={now_s} />,
    },
    {
      title: "Revoke",
      cell: (it) => (
        <button type="button" aria-label={`Revoke ${it.name}`} onClick={() => setRevoking(it)}>
          Revoke
        </button>
      ),
    },
  ];
  return (
    <section class="panel" aria-label="Tokens" data-testid="tokens">
      <div class="panel-head">
        <h2 class="grow">Tokens</h2>
        <button type="button" class="primary" onClick={() => setMaking(true)}>
          New token
        </button>
      </div>
      <Trouble error={error} />
      {!data && !error && <p class="message">Asking for the tokens…</p>}
      {data?.length === 0 && (
        <p class="message">There is no token but those of the configuration. Programs that send or query need one.</p>
      )}
      {data && data.length > 0 && <Rows label="Tokens" rows={data} columns={columns} keyOf={(it) => it.name} />}
      <p class="admin-note">
        Tokens of the configuration (<code>[[tokens]]</code>) are changed there. Give each program and host its own.
      </p>
      {isMaking && (
        <NewToken
          onClose={() => {
            setMaking(false);
            changed();
          }}
        />
      )}
      {revoking && (
        <Confirm
          title={`Revoke ${revoking.name}`}
          text={
            revoking.kind === "agent"
              ? `The agent ${revoking.name} can send nothing from now on; what it collects stays on its host until it is enrolled again.`
              : `Whatever uses the token ${revoking.name} is refused from its next request on. It cannot be brought back.`
          }
          action="Revoke"
          run={() => revokeToken(revoking.name)}
          onClose={() => {
            setRevoking(undefined);
            changed();
          }}
        />
      )}
    </section>
  );
}

function Ends({ at, now_s }: { at: number | null; now_s: number }) {
  if (at === null) return <span class="muted">never</span>;
  if (at <= now_s) return <span class="state-bad">has ended</span>;
  return <span title={fullTime(at * 1000)}>{ahead(at, now_s)}</span>;
}
