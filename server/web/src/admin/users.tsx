// People who may log in.
import { users, type User } from "../api/admin";
import { usePoll } from "../api/poll";
import { Trouble } from "../ui/trouble";
import { ago } from "./ago";
import { Rows, type Column } from "./rows";

const REFRESH_MS = 60_000;

export function Users() {
  const { data, error } = usePoll("users", REFRESH_MS, users);
  const now_s = Date.now() / 1000;
  const columns: Column<User>[] = [
    { title: "Name", by: (it) => it.name, cell: (it) => it.name },
    { title: "Role", by: (it) => it.role, cell: (it) => it.role },
    { title: "Code", cell: (it) => (it.has_second_factor ? "asked for" : <span class="muted">none</span>) },
    { title: "Added", by: (it) => it.created_unix_s, cell: (it) => ago(it.created_unix_s, now_s) },
  ];
  return (
    <section class="panel" aria-label="People" data-testid="users">
      <div class="panel-head">
        <h2>People</h2>
      </div>
      <Trouble error={error} />
      {!data && !error && <p class="message">Asking for the people…</p>}
      {data?.length === 0 && <p class="message">Nobody but those of the configuration may log in.</p>}
      {data && data.length > 0 && <Rows label="People" rows={data} columns={columns} keyOf={(it) => it.name} />}
      <p class="admin-note">
        On the server, <code>skep-server user add NAME --role viewer</code> adds somebody; <code>user passwd</code>,{" "}
        <code>user totp</code> and <code>user remove</code> change the rest. Those of the configuration (
        <code>[[users]]</code>) are changed there.
      </p>
    </section>
  );
}
