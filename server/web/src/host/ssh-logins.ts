// What a host's journal says of SSH: who came in, who was refused, what was done by sudo.
import { getJson } from "../api/client";
import { readAnswer } from "../api/loki";
import { last, type Series } from "../api/prometheus";
import { quoted } from "./scope";

export interface Login {
  user: string;
  /** An address, or for sudo the user it was done as. */
  from: string;
  how: string;
  count: number;
}

export interface SshLogins {
  came_in: Login[];
  refused: Login[];
  sudo: Login[];
}

export type Kind = keyof SshLogins;

/** What lines of a kind have, and where their names stand in them: docs/services/ssh.md. */
const KINDS: Record<Kind, { filter: string; program: string; names: string; by: string }> = {
  came_in: {
    filter: '|= "Accepted "',
    program: "sshd.*",
    names: String.raw`Accepted (?P<how>\\S+) for (?P<user>\\S+) from (?P<ip>\\S+) port`,
    by: "user, ip, how",
  },
  refused: {
    filter: '|~ "Failed |Connection closed by|Connection reset by"',
    program: "sshd.*",
    names: String.raw`(Failed \\S+ for (invalid user )?|Connection (closed|reset) by (authenticating|invalid) user )(?P<user>.*?) (from )?(?P<ip>\\S+) port`,
    by: "user, ip",
  },
  sudo: {
    filter: '|= "COMMAND=" !~ "NOT in sudoers|not allowed|incorrect password"',
    program: "sudo",
    names: String.raw`(?P<user>\\S+) : .*USER=(?P<ip>\\S+) ; .*COMMAND=`,
    by: "user, ip",
  },
};

/** Lines of a kind, for Explore. */
export function linesQuery(host: string, kind: Kind): string {
  const { filter, program } = KINDS[kind];
  const streams = `{job="systemd-journal", host=${quoted(host)}}`;
  return `${streams} ${filter} | SYSLOG_IDENTIFIER=~"${program}"`;
}

function countQuery(host: string, kind: Kind, seconds: number): string {
  const { names, by } = KINDS[kind];
  const lines = `${linesQuery(host, kind)} | regexp "${names}" | ip!=""`;
  return `topk(100, sum by (${by}) (count_over_time(${lines} [${seconds}s])))`;
}

export async function sshLogins(
  host: string,
  end: number,
  seconds: number,
  abort: AbortSignal,
): Promise<SshLogins> {
  const ask = async (kind: Kind) => {
    const params = { query: countQuery(host, kind, seconds), time: end };
    const found = readAnswer(await getJson("/loki/api/v1/query", params, abort));
    return found.type === "metrics" ? logins(found.answer.series) : [];
  };
  const [came_in, refused, sudo] = await Promise.all([ask("came_in"), ask("refused"), ask("sudo")]);
  return { came_in, refused, sudo };
}

/** The most frequent first. */
export function logins(series: Series[]): Login[] {
  const all = series.map((it) => {
    const { user = "", ip = "", how = "" } = it.labels;
    return { user, from: ip, how, count: last(it) };
  });
  return all.sort((a, b) => b.count - a.count || a.user.localeCompare(b.user));
}
