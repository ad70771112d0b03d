// Log lines, one row each; a row opens to every field the line came with.
import { Fragment } from "preact";
import { useState } from "preact/hooks";
import "./lines.css";
import { hostOf, levelOf, unitOf, type Line } from "../api/loki";
import { fullTime, timeOfDay } from "./format";

export function LineList({ lines }: { lines: Line[] }) {
  const [open, setOpen] = useState<ReadonlySet<string>>(new Set());
  const toggle = (key: string) => {
    const next = new Set(open);
    if (!next.delete(key)) next.add(key);
    setOpen(next);
  };
  const now = Date.now();
  return (
    <ul class="lines">
      {lines.map((line) => (
        <Row
          key={line.key}
          line={line}
          now={now}
          isOpen={open.has(line.key)}
          toggle={() => toggle(line.key)}
        />
      ))}
    </ul>
  );
}

interface RowProps {
  line: Line;
  now: number;
  isOpen: boolean;
  toggle: () => void;
}

function Row({ line, now, isOpen, toggle }: RowProps) {
  const level = levelOf(line);
  const from = [hostOf(line), unitOf(line)].filter((part) => part !== "");
  return (
    <li class={`level-${level}`} data-testid="journal-line">
      <button type="button" aria-expanded={isOpen} onClick={toggle}>
        <time class="mono small" title={fullTime(line.ms)}>
          {timeOfDay(line.ms, now)}
        </time>
        <span class="level small">{level === "unknown" ? "" : level}</span>
        <span class="from small ellipsis" title={from.join(" · ")}>
          {from.join(" · ")}
        </span>
        <span class="text mono small">{line.text}</span>
      </button>
      {isOpen && <Fields line={line} />}
    </li>
  );
}

function Fields({ line }: { line: Line }) {
  const fields = Object.entries({ ...line.labels, ...line.metadata });
  fields.sort(([a], [b]) => (a < b ? -1 : 1));
  return (
    <dl class="fields mono small">
      <dt>time</dt>
      <dd>{fullTime(line.ms)}</dd>
      {fields.map(([name, text]) => (
        <Fragment key={name}>
          <dt class="ellipsis" title={name}>
            {name}
          </dt>
          <dd>{text}</dd>
        </Fragment>
      ))}
    </dl>
  );
}
