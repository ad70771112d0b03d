// Makes a token and shows it this once.
import { useState } from "preact/hooks";
import { newToken } from "../api/admin";
import { useDoing } from "../ui/doing";
import { Modal } from "../ui/modal";
import { Trouble } from "../ui/trouble";
import { ShownOnce } from "./shown-once";

const DAY_S = 86_400;
const SCOPES: [scope: string, what: string][] = [
  ["query", "read metrics and logs (Grafana, scripts)"],
  ["ingest", "send metrics and logs"],
  ["admin", "change and delete"],
];
const LIFETIMES: [name: string, days: number | undefined][] = [
  ["30 days", 30],
  ["90 days", 90],
  ["a year", 365],
  ["until it is revoked", undefined],
];

export function NewToken({ onClose }: { onClose: () => void }) {
  const [name, setName] = useState("");
  const [scopes, setScopes] = useState<string[]>(["query"]);
  const [days, setDays] = useState<number | undefined>(90);
  const [made, setMade] = useState<string>();
  const { isBusy, error, run } = useDoing();
  const make = (event: Event) => {
    event.preventDefault();
    const expires_in_s = days === undefined ? undefined : days * DAY_S;
    void run(async () => setMade(await newToken(name.trim(), scopes, expires_in_s)));
  };
  const toggle = (scope: string, isOn: boolean) =>
    setScopes((old) => (isOn ? [...old, scope] : old.filter((it) => it !== scope)));
  if (made !== undefined) return <Made name={name} token={made} onClose={onClose} />;
  return (
    <Modal title="New token" onClose={onClose}>
      <form class="form-rows" onSubmit={make}>
        <label class="field">
          Name
          <input
            required
            autoFocus
            maxLength={64}
            placeholder="grafana"
            value={name}
            onInput={(event) => setName(event.currentTarget.value)}
          />
        </label>
        <fieldset>
          <legend>It may</legend>
          {SCOPES.map(([scope, what]) => (
            <label key={scope}>
              <input
                type="checkbox"
                checked={scopes.includes(scope)}
                onChange={(event) => toggle(scope, event.currentTarget.checked)}
              />{" "}
              {scope} <span class="muted small">– {what}</span>
            </label>
          ))}
        </fieldset>
        <label class="field">
          Good for
          <select
            value={String(days)}
            onChange={(event) => {
              const chosen = event.currentTarget.value;
              setDays(chosen === "undefined" ? undefined : Number(chosen));
            }}
          >
            {LIFETIMES.map(([label, value]) => (
              <option key={label} value={String(value)}>
                {label}
              </option>
            ))}
          </select>
        </label>
        <Trouble error={error} />
        <div class="buttons">
          <button type="submit" class="primary" disabled={isBusy || scopes.length === 0}>
            Make it
          </button>
        </div>
      </form>
    </Modal>
  );
}

function Made({ name, token, onClose }: { name: string; token: string; onClose: () => void }) {
  return (
    <Modal title={`Token ${name}`} onClose={onClose}>
      <div class="form-rows">
        <p>Copy it now: only its hash is kept, and nobody can show it again.</p>
        <ShownOnce label="The token" text={token} testId="new-token" onClose={onClose} />
      </div>
    </Modal>
  );
}
