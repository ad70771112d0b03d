// Every agent that has reported: is it there, does it keep up, and what of the kernel does it see.
import { useState } from "preact/hooks";
import { tokens, type Token } from "../api/admin";
import { usePoll } from "../api/poll";
import { Link } from "../route";
import { bytes, counted, fullTime, value } from "../ui/format";
import { Trouble } from "../ui/trouble";
import { ago } from "./ago";
import { agents, KNOWN_DAYS, lastSeen, type Agent } from "./agents-data";
import { NewAgent } from "./new-agent";
import { Rows, type Column } from "./rows";

const REFRESH_MS = 15_000;
const AWAY_REFRESH_MS = 300_000;
const CREDENTIALS_REFRESH_MS = 60_000;
/** A spool of an agent that keeps up holds no more than a few batches. */
const SPOOL_BYTES = 4_000_000;
/** As on the home page. */
const SILENT_AFTER_S = 120;

export function Agents() {
  const { data, error } = usePoll("agents", REFRESH_MS, (abort) => agents(Date.now() / 1000, abort));
  const gone = (data ?? []).filter((it) => Number.isNaN(it.seen_at)).map((it) => it.name);
  const away = usePoll(gone.join(), AWAY_REFRESH_MS, (abort) => lastSeen(gone, abort));
  const credentials = usePoll("credentials", CREDENTIALS_REFRESH_MS, tokens);
  const [open, setOpen] = useState<string>();
  const [isAdding, setAdding] = useState(false);
  const now_s = Date.now() / 1000;
  const seenAt = (it: Agent) => (Number.isNaN(it.seen_at) ? (away.data?.get(it.name) ?? NaN) : it.seen_at);
  const isAway = (it: Agent) => !(now_s - it.seen_at < SILENT_AFTER_S);
  const credential = (it: Agent) =>
    credentials.data?.find((token) => token.kind === "agent" && token.name === it.name);
  const n_away = (data ?? []).filter(isAway).length;
  const columns: Column<Agent>[] = [
    {
      title: "Agent",
      by: (it) => it.name,
      cell: (it) => (
        <Link class="name ellipsis" title={it.name} href={`/host/${encodeURIComponent(it.name)}`}>
          {it.name}
        </Link>
      ),
    },
    {
      title: "Last seen",
      hint: "its newest sample: while an agent sends what has waited, this is how far it has come",
      by: seenAt,
      cell: (it) => <Seen at={seenAt(it)} isAway={isAway(it)} now_s={now_s} />,
    },
    { title: "Version", by: (it) => it.version, cell: (it) => it.version },
    {
      title: "Spool",
      hint: "what waits on the host for this server",
      isNumber: true,
      by: (it) => it.spool_bytes,
      cell: (it) => (
        <span class={it.spool_bytes > SPOOL_BYTES ? "state-warn" : undefined} title={`${value(it.spool_items)} items`}>
          {bytes(it.spool_bytes)}
        </span>
      ),
    },
    {
      title: "Lost",
      hint: "in the last hour: samples and lines that the agent gave up, and that this server refused",
      isNumber: true,
      by: (it) => it.dropped + it.rejected,
      cell: (it) => <Lost agent={it} />,
    },
    {
      title: "Failed requests",
      hint: "in the last hour, that were tried again",
      isNumber: true,
      by: (it) => it.failed,
      cell: (it) => (Number.isNaN(it.failed) ? "0" : value(Math.round(it.failed))),
    },
    {
      title: "Kernel programs",
      by: (it) => it.programs.filter((program) => program.reason === "").length,
      cell: (it) => (
        <Programs agent={it} isOpen={open === it.name} toggle={() => setOpen(open === it.name ? undefined : it.name)} />
      ),
    },
    {
      title: "Credential",
      hint: "the agent's own, and when it was last used, to some minutes",
      by: (it) => credential(it)?.last_used_unix_s ?? NaN,
      cell: (it) => <Credential token={credential(it)} now_s={now_s} />,
    },
  ];
  return (
    <section class="panel" aria-label="Agents" data-testid="agents">
      <div class="panel-head">
        <h2>Agents</h2>
        <span class="muted small grow">
          {data && data.length > 0 && `${counted(data.length, "agent")}${n_away > 0 ? `, ${n_away} away` : ""}`}
        </span>
        <button type="button" class="primary" onClick={() => setAdding(true)}>
          Add an agent
        </button>
      </div>
      {isAdding && <NewAgent onClose={() => setAdding(false)} />}
      <Trouble error={error ?? credentials.error} />
      {!data && !error && <p class="message">Asking for the agents…</p>}
      {data?.length === 0 && <NoAgents />}
      {data && data.length > 0 && (
        <Rows
          label="Agents"
          rows={data}
          columns={columns}
          keyOf={(it) => it.name}
          below={(it) => it.name === open && <Refused agent={it} />}
        />
      )}
    </section>
  );
}

function NoAgents() {
  return (
    <div class="message">
      <p>
        No agent has sent anything in the last {KNOWN_DAYS} days. <strong>Add an agent</strong> makes a line to paste
        on a host; so does this, on the server:
      </p>
      <code class="command">skep-server enrol HOST</code>
    </div>
  );
}

function Seen({ at, isAway, now_s }: { at: number; isAway: boolean; now_s: number }) {
  if (!isAway) return <span title={fullTime(at * 1000)}>{ago(at, now_s)}</span>;
  const since = Number.isNaN(at) ? "long ago" : ago(at, now_s);
  return (
    <span class="state-bad" title={Number.isNaN(at) ? undefined : fullTime(at * 1000)}>
      away, {since}
    </span>
  );
}

function Lost({ agent: { dropped, rejected } }: { agent: Agent }) {
  const [given_up, refused] = [Math.round(dropped || 0), Math.round(rejected || 0)];
  const n = given_up + refused;
  return (
    <span class={n > 0 ? "state-bad" : undefined} title={`${given_up} given up, ${refused} refused`}>
      {value(n)}
    </span>
  );
}

interface ProgramsProps {
  agent: Agent;
  isOpen: boolean;
  toggle: () => void;
}

function Programs({ agent: { name, programs }, isOpen, toggle }: ProgramsProps) {
  const n_run = programs.filter((it) => it.reason === "").length;
  if (programs.length === 0) return <span class="muted">–</span>;
  // Switched off, none is even tried.
  if (programs.every((it) => it.reason === "disabled")) return <span class="muted">off</span>;
  if (n_run === programs.length) return <span class="state-good">all {n_run} run</span>;
  const text = `${n_run} of ${programs.length} run`;
  return (
    <button type="button" aria-expanded={isOpen} aria-label={`${text}, kernel programs of ${name}`} onClick={toggle}>
      {text}
    </button>
  );
}

/** What the agent's words for a refusal mean. */
const REASONS: Record<string, string> = {
  not_permitted: "the agent lacks a capability, CAP_BPF or CAP_PERFMON, or the kernel is locked down",
  no_btf: "the kernel has no type information (CONFIG_DEBUG_INFO_BTF)",
  no_object: "this build of the agent has no kernel programs",
  no_tracefs: "tracefs is not mounted",
  no_cgroup2: "there is no unified control group hierarchy",
  kernel_lacks_field: "this kernel has not what the program reads",
  refused: "the kernel's verifier refused it",
  attach: "the kernel has no such place to attach to",
  object: "the agent's kernel programs could not be loaded; its log says why",
};

function Refused({ agent: { name, programs } }: { agent: Agent }) {
  const refused = programs.filter((it) => it.reason !== "");
  const reasons = [...new Set(refused.map((it) => it.reason))];
  return (
    <div data-testid="refused-programs">
      <ul>
        {reasons.map((reason) => (
          <li key={reason}>
            <strong>{reason}</strong>
            {REASONS[reason] && `: ${REASONS[reason]}`} –{" "}
            <span class="mono">{refused.flatMap((it) => (it.reason === reason ? [it.name] : [])).join(", ")}</span>
          </li>
        ))}
      </ul>
      <p class="muted">
        <code>skep-agent doctor</code> on {name} says what would help.
      </p>
    </div>
  );
}

function Credential({ token, now_s }: { token: Token | undefined; now_s: number }) {
  if (!token) return <span class="muted">another token</span>;
  return <span>used {ago(token.last_used_unix_s, now_s)}</span>;
}
