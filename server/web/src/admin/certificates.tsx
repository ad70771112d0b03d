// Every certificate that the server shows to browsers: of whom, from whom, and how long it lasts.
import { certificates, type Certificate } from "../api/admin";
import { usePoll } from "../api/poll";
import { counted, fullTime } from "../ui/format";
import { Trouble } from "../ui/trouble";
import { ahead } from "./ago";
import { Rows, type Column } from "./rows";

const REFRESH_MS = 30_000;
const DAY_S = 86_400;
/** Renewals are over by then; those of files are somebody's task. */
const SOON_S = 14 * DAY_S;
const SOURCES: Record<Certificate["source"], string> = {
  file: "file",
  acme: "ACME",
  local: "local CA",
};

export function Certificates() {
  const { data, error } = usePoll("certificates", REFRESH_MS, certificates);
  const now_s = Date.now() / 1000;
  const columns: Column<Certificate>[] = [
    {
      title: "Names",
      by: (it) => it.names.join(),
      cell: (it) => (
        <span class="name ellipsis" title={it.names.join("\n")}>
          {it.names.join(", ")}
        </span>
      ),
    },
    { title: "Source", by: (it) => it.source, cell: (it) => SOURCES[it.source] },
    {
      title: "Issuer",
      by: (it) => it.issuer ?? "",
      cell: (it) => (
        <span class="name ellipsis" title={it.issuer ?? undefined}>
          {it.issuer ?? (it.source === "local" ? "this server" : "–")}
        </span>
      ),
    },
    {
      title: "Ends",
      by: (it) => it.not_after_unix_s ?? NaN,
      cell: (it) => <Ends certificate={it} now_s={now_s} />,
    },
    {
      title: "Next try",
      hint: "to order or renew it",
      by: (it) => it.next_attempt_unix_s ?? NaN,
      cell: (it) => (it.source === "acme" ? ahead(it.next_attempt_unix_s, now_s) : <Renewal source={it.source} />),
    },
    { title: "Renewed", isNumber: true, by: (it) => it.renewals, cell: (it) => it.renewals },
    { title: "Failed", isNumber: true, by: (it) => it.failures, cell: (it) => it.failures },
  ];
  return (
    <section class="panel" aria-label="Certificates" data-testid="certificates">
      <div class="panel-head">
        <h2>Certificates</h2>
        <span class="muted small">{data && counted(data.length, "certificate")}</span>
      </div>
      <Trouble error={error} />
      {!data && !error && <p class="message">Asking for the certificates…</p>}
      {data?.length === 0 && (
        <p class="message">No certificate was shown yet: the local CA signs one when a browser asks for a name.</p>
      )}
      {data && data.length > 0 && (
        <Rows
          label="Certificates"
          rows={data}
          columns={columns}
          keyOf={(it) => `${it.source} ${it.names.join()}`}
          below={(it) => it.last_error && <span class="state-bad">{it.last_error}</span>}
        />
      )}
    </section>
  );
}

function Ends({ certificate: { not_after_unix_s, source }, now_s }: { certificate: Certificate; now_s: number }) {
  if (not_after_unix_s === null) return <span class="state-bad">there is none yet</span>;
  const left_s = not_after_unix_s - now_s;
  // The local CA's are signed anew at the next handshake.
  const isUrgent = left_s < SOON_S && source !== "local";
  const state = left_s <= 0 ? "state-bad" : isUrgent ? "state-warn" : undefined;
  return (
    <span class={state} title={fullTime(not_after_unix_s * 1000)}>
      {left_s <= 0 ? "has ended" : ahead(not_after_unix_s, now_s)}
    </span>
  );
}

function Renewal({ source }: { source: "file" | "local" }) {
  return <span class="muted">{source === "file" ? "when the file changes" : "by itself"}</span>;
}
