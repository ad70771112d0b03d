// One service: where it is, whether it is up, and how its last day was. The server writes the same
// elements into the page (server/home/src/html.rs).
import "./tile.css";
import { fullTime } from "../ui/format";
import { uptimeText, type Day } from "./history";
import { TileIcon } from "./icon";
import { Sparkline } from "./sparkline";
import { responseTime, type Check, type Service } from "./view";

interface Props {
  service: Service;
  /** Of the group: then each of its tiles need not say so. */
  isGroupPrivate: boolean;
  day: Day | undefined;
  window: [number, number];
}

export function Tile({ service, isGroupPrivate, day, window }: Props) {
  const { name, href, description, icon, check } = service;
  const content = (
    <>
      <TileIcon icon={icon} />
      <span class="tile-text">
        <span class="tile-name ellipsis" title={name}>
          {name}
        </span>
        <span class="muted small ellipsis" title={description}>
          {description}
        </span>
      </span>
      <State check={check} isPrivate={service.private && !isGroupPrivate} />
      {service.values.length > 0 && <Values service={service} />}
      {check.state !== "off" && <History name={name} day={day} window={window} />}
    </>
  );
  return (
    <li data-testid="tile">
      {href === null ? (
        <div class="panel tile">{content}</div>
      ) : (
        <a class="panel tile" href={href}>
          {content}
        </a>
      )}
    </li>
  );
}

const WORDS = { up: "up", down: "down", waiting: "not checked yet", off: "" };

function State({ check, isPrivate }: { check: Check; isPrivate: boolean }) {
  const { state, seconds } = check;
  const shown = state === "up" ? (seconds === null ? "" : responseTime(seconds)) : state === "down" ? "down" : "…";
  return (
    <span class="tile-state small num" title={explained(check)}>
      {isPrivate && <span class="private">private</span>}
      {state !== "off" && (
        <>
          <span class={`dot ${state}`} aria-hidden="true" />
          <span class="visually-hidden">{WORDS[state]}</span>
          <span aria-hidden={state === "up" ? "false" : "true"}>{shown}</span>
        </>
      )}
    </span>
  );
}

function explained({ error, at_ms, certificate_expires_s: expiry }: Check): string | undefined {
  const lines = [
    error,
    at_ms === null ? null : `checked ${fullTime(at_ms)}`,
    expiry === null ? null : `certificate expires ${fullTime(expiry * 1000)}`,
  ].filter((line) => line !== null);
  return lines.length > 0 ? lines.join("\n") : undefined;
}

function Values({ service }: { service: Service }) {
  return (
    <span class="tile-values small">
      {service.values.map(({ label, text }) => (
        <span key={label}>
          <span class="muted">{label}</span>
          <strong class="num">{text}</strong>
        </span>
      ))}
    </span>
  );
}

/** Its place is there before its data, so that nothing moves. */
function History({ name, day, window }: { name: string; day: Day | undefined; window: [number, number] }) {
  return (
    <span class="tile-history">
      {day && (
        <>
          <Sparkline
            lines={[day.response]}
            marks={day.downs}
            window={window}
            max={day.top}
            gap_s={day.gap_s}
            label={`Response time of ${name}, last 24 hours`}
          />
          <span class={`small num ${day.uptime < 99 ? "unsteady" : "muted"}`} title="up in the last 24 hours">
            {uptimeText(day.uptime)}
          </span>
        </>
      )}
    </span>
  );
}
