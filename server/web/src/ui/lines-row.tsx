// One log line: a row, and below it what it came with once it is opened.
import { Component, Fragment } from "preact";
import { useState } from "preact/hooks";
import { hostOf, levelOf, unitOf, type Line } from "../api/loki";
import { fullTime, timeOfDay } from "./format";
import { pieces, plain } from "./rich-text";

export interface LineActions {
  /** Only lines with this, or only those without it. */
  filter: (field: { name: string; value: string; isLabel: boolean }, isWanted: boolean) => void;
  /** What was logged before and after it. */
  context?: (line: Line) => void;
}

interface RowProps {
  line: Line;
  now: number;
  /** From 1, of `n_lines`: a windowed list does not show a reader how long it is. */
  place: number;
  n_lines: number;
  isActive: boolean;
  isOpen: boolean;
  isMarked: boolean;
  isWhole: boolean;
  sought: RegExp | undefined;
  actions: LineActions | undefined;
  toggle: (key: string) => void;
}

/** A row shows no more of a line than fits; a megabyte of text in one row would stall the page. */
const SHORT_MAX = 1_000;
const WHOLE_MAX = 20_000;
const SHOWN_PROPS = [
  "line",
  "place",
  "n_lines",
  "isActive",
  "isOpen",
  "isMarked",
  "isWhole",
  "sought",
  "actions",
] as const;

export class LineRow extends Component<RowProps> {
  /** Scrolling draws the rows that come into sight, not those that are. */
  override shouldComponentUpdate(next: RowProps) {
    return SHOWN_PROPS.some((name) => next[name] !== this.props[name]);
  }

  render({ line, now, place, n_lines, isActive, isOpen, isMarked, toggle, ...rest }: RowProps) {
    const level = levelOf(line);
    const from = [hostOf(line), unitOf(line)].filter((part) => part !== "").join(" · ");
    const text = cut(line.text, rest.isWhole || isOpen ? WHOLE_MAX : SHORT_MAX);
    return (
      <li
        class={`level-${level}${isMarked ? " marked" : ""}`}
        aria-posinset={place}
        aria-setsize={n_lines}
        data-testid="journal-line"
      >
        <button
          type="button"
          aria-expanded={isOpen}
          tabIndex={isActive ? 0 : -1}
          onClick={() => toggle(line.key)}
        >
          <time class="mono small" title={fullTime(line.ms)}>
            {timeOfDay(line.ms, now)}
          </time>
          <span class="level small">{level === "unknown" ? "" : level}</span>
          <span class="from small ellipsis" title={from}>
            {from}
          </span>
          <span class="text mono small">
            <Rich text={text} sought={rest.sought} />
          </span>
        </button>
        {isOpen && <Details line={line} actions={rest.actions} />}
      </li>
    );
  }
}

function cut(text: string, max: number): string {
  return text.length > max ? `${text.slice(0, max)}…` : text;
}

function Rich({ text, sought }: { text: string; sought: RegExp | undefined }) {
  return (
    <>
      {pieces(text, sought).map(({ text, look, isSought }, i) =>
        isSought ? (
          <mark key={i} class={look}>
            {text}
          </mark>
        ) : look ? (
          <span key={i} class={look}>
            {text}
          </span>
        ) : (
          text
        ),
      )}
    </>
  );
}

function Details({ line, actions }: { line: Line; actions: LineActions | undefined }) {
  const names = [...new Set([...Object.keys(line.labels), ...Object.keys(line.metadata)])].sort();
  const pretty = prettyJson(line.text);
  return (
    <div class="details">
      <div class="detail-actions">
        <CopyButton text={plain(line.text)} />
        {actions?.context && (
          <button type="button" class="small" onClick={() => actions.context?.(line)}>
            Lines around it
          </button>
        )}
      </div>
      {pretty && <pre class="mono small">{cut(pretty, WHOLE_MAX)}</pre>}
      <dl class="fields mono small">
        <dt>time</dt>
        <dd>{fullTime(line.ms)}</dd>
        {names.map((name) => {
          const isLabel = name in line.labels;
          const value = line.labels[name] ?? line.metadata[name] ?? "";
          return (
            <Fragment key={name}>
              <dt class="ellipsis" title={name}>
                {name}
              </dt>
              <dd>
                {actions && <FieldActions field={{ name, value, isLabel }} actions={actions} />}
                <span>{value}</span>
              </dd>
            </Fragment>
          );
        })}
      </dl>
    </div>
  );
}

interface FieldProps {
  field: { name: string; value: string; isLabel: boolean };
  actions: LineActions;
}

function FieldActions({ field, actions }: FieldProps) {
  const what = `${field.name} is ${cut(field.value, 60)}`;
  return (
    <span class="field-actions">
      <button
        type="button"
        aria-label={`Only lines where ${what}`}
        title="Only lines with this"
        onClick={() => actions.filter(field, true)}
      >
        +
      </button>
      <button
        type="button"
        aria-label={`No lines where ${what}`}
        title="Only lines without this"
        onClick={() => actions.filter(field, false)}
      >
        −
      </button>
    </span>
  );
}

function CopyButton({ text }: { text: string }) {
  const [done, setDone] = useState("");
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(text);
      setDone("Copied");
    } catch {
      setDone("The browser does not allow it");
    }
  };
  return (
    <button type="button" class="small" onClick={copy}>
      {done || "Copy line"}
    </button>
  );
}

function prettyJson(text: string): string | undefined {
  if (!/^\s*[{[]/.test(text)) return undefined;
  try {
    return JSON.stringify(JSON.parse(text), undefined, 2);
  } catch {
    return undefined;
  }
}
