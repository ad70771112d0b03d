// Lets a host in: asks for its name, then shows the line to paste there.
import { useState } from "preact/hooks";
import { newEnrolment, type Enrolment } from "../api/admin";
import { useDoing } from "../ui/doing";
import { timeOfDay } from "../ui/format";
import { Modal } from "../ui/modal";
import { Trouble } from "../ui/trouble";
import { ShownOnce } from "./shown-once";

export function NewAgent({ onClose }: { onClose: () => void }) {
  const [host, setHost] = useState("");
  const [made, setMade] = useState<Enrolment>();
  const { isBusy, error, run } = useDoing();
  const make = (event: Event) => {
    event.preventDefault();
    void run(async () => setMade(await newEnrolment(host.trim())));
  };
  return (
    <Modal title={made ? `Agent on ${made.host}` : "Add an agent"} onClose={onClose}>
      {made ? (
        <Line made={made} onClose={onClose} />
      ) : (
        <form class="form-rows" onSubmit={make}>
          <label class="field">
            Name of the host
            <input
              required
              autoFocus
              maxLength={64}
              placeholder="nas"
              value={host}
              onInput={(event) => setHost(event.currentTarget.value)}
            />
          </label>
          <p class="muted small">
            It is called so here: label <code>instance</code>, and the name of its credential. An older line for
            the same host is void.
          </p>
          <Trouble error={error} />
          <div class="buttons">
            <button type="submit" class="primary" disabled={isBusy}>
              {isBusy ? "Making the line…" : "Make the line"}
            </button>
          </div>
        </form>
      )}
    </Modal>
  );
}

function Line({ made: { host, command, expires_in_s }, onClose }: { made: Enrolment; onClose: () => void }) {
  const [until] = useState(() => timeOfDay(Date.now() + expires_in_s * 1000, Date.now()));
  if (command === null) {
    return (
      <div class="form-rows" data-testid="no-way-in">
        <p>
          Other hosts do not reach this server as <strong>{location.host}</strong>. Open this page over https by the
          name they know, and do this again; or run on the server:
        </p>
        <code class="command">skep-server enrol {host} --url https://NAME:PORT</code>
      </div>
    );
  }
  return (
    <div class="form-rows">
      <p>
        Paste this into a shell of {host} before {until}, as root or with sudo. It installs the agent and enrols it,
        once; it needs systemd and curl. The host appears here within a minute.
      </p>
      <ShownOnce label={`The line for ${host}`} text={command} testId="enrol-line" onClose={onClose} />
    </div>
  );
}
