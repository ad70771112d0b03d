// The one place that talks to the server: what came back, what went wrong, and whether it is there.
import { useEffect, useState } from "preact/hooks";

/** The server said no; the message is its own text. */
export class Refused extends Error {
  constructor(
    readonly status: number,
    message: string,
  ) {
    super(message);
  }
}

/** Nothing came back. */
export class Away extends Error {}

const TIMEOUT_MS = 30_000;
const AWAY_CHANGED = "skep-away";
let away: string | undefined;

function setAway(reason: string | undefined) {
  if (reason === away) return;
  away = reason;
  dispatchEvent(new Event(AWAY_CHANGED));
}

/** Why the server is away, or undefined while it answers. */
export function useServerAway(): string | undefined {
  const [reason, setReason] = useState(away);
  useEffect(() => {
    const update = () => setReason(away);
    addEventListener(AWAY_CHANGED, update);
    return () => removeEventListener(AWAY_CHANGED, update);
  }, []);
  return reason;
}

export type Params = Record<string, string | number>;

export interface Asking {
  headers?: Record<string, string>;
  /** For questions that somebody waits for and can cancel. */
  timeout_ms?: number;
}

export async function getJson(
  path: string,
  params: Params,
  abort?: AbortSignal,
  asking?: Asking,
): Promise<unknown> {
  return JSON.parse(await getText(path, params, abort, asking));
}

export async function getText(
  path: string,
  params: Params,
  abort?: AbortSignal,
  { headers = {}, timeout_ms = TIMEOUT_MS }: Asking = {},
): Promise<string> {
  const query = new URLSearchParams(Object.entries(params).map(([k, v]) => [k, String(v)]));
  return ask(`${path}?${query}`, { headers }, timeout_ms, abort);
}

/** Changes something; the answer's JSON. */
export async function send(method: "POST" | "DELETE", path: string, body?: unknown): Promise<unknown> {
  const init = body === undefined ? { method } : { method, body: JSON.stringify(body) };
  return JSON.parse(await ask(path, init, TIMEOUT_MS));
}

async function ask(
  url: string,
  init: { method?: string; body?: string; headers?: Record<string, string> },
  timeout_ms: number,
  abort?: AbortSignal,
): Promise<string> {
  const timeout = AbortSignal.timeout(timeout_ms);
  const signal = abort ? AbortSignal.any([abort, timeout]) : timeout;
  let response: Response;
  let text: string;
  try {
    const headers = { accept: "application/json", ...init.headers };
    response = await fetch(url, { ...init, signal, headers });
    text = await response.text();
  } catch (error) {
    if (abort?.aborted) throw error;
    const reason = timeout.aborted ? `no answer in ${timeout_ms / 1000} s` : "no connection";
    setAway(reason);
    throw new Away(`the server does not answer: ${reason}`);
  }
  if (response.status === 401) {
    location.assign(`/login?next=${encodeURIComponent(location.pathname + location.search)}`);
    throw new Refused(401, "the login has ended");
  }
  // A proxy in between answers for a server that is down.
  if ([502, 503, 504].includes(response.status) && !text.startsWith("{")) {
    setAway(`status ${response.status}`);
    throw new Away(`the server does not answer: status ${response.status}`);
  }
  setAway(undefined);
  if (!response.ok) throw new Refused(response.status, errorText(response.status, text));
  return text;
}

function errorText(status: number, text: string): string {
  try {
    const parsed = JSON.parse(text) as { error?: unknown; message?: unknown };
    const message = parsed.error ?? parsed.message;
    if (typeof message === "string" && message !== "") return message;
  } catch {
    // Loki answers in plain text.
  }
  return text.trim() || `status ${status}`;
}
