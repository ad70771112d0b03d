// What can stand at a place of a LogQL text: pure, so that what is asked of the server is apart.

export type Place =
  | { kind: "none" }
  /** A query or an expression begins here. */
  | { kind: "start" }
  /** Name of a label in a selector; `selector` holds the other matchers. */
  | { kind: "label"; selector: string }
  | { kind: "value"; label: string; selector: string; isQuoted: boolean }
  /** After a selector or a stage: operators and pipes. */
  | { kind: "operator" }
  /** After a pipe: a stage, or the field of a label filter; `query` is what comes before. */
  | { kind: "stage"; query: string }
  | { kind: "field"; query: string }
  | { kind: "field-value"; field: string; query: string; isQuoted: boolean }
  /** In `by (…)` and `without (…)`. */
  | { kind: "grouping"; selector: string }
  | { kind: "duration" };

/** A place, and where the word begins that a choice replaces. */
export type Situation = Place & { from: number };

export const STAGES = [
  "json",
  "logfmt",
  "pattern",
  "regexp",
  "unpack",
  "line_format",
  "label_format",
  "decolorize",
  "drop",
  "keep",
  "unwrap",
];
export const OPERATORS = ["|=", "!=", "|~", "!~", "|>", "!>", "|"];
export const RANGES = ["1m", "5m", "10m", "30m", "1h", "6h", "1d"];
export const RANGE_FUNCTIONS = [
  "rate",
  "count_over_time",
  "bytes_rate",
  "bytes_over_time",
  "absent_over_time",
  "sum_over_time",
  "avg_over_time",
  "min_over_time",
  "max_over_time",
  "first_over_time",
  "last_over_time",
  "quantile_over_time",
  "stddev_over_time",
  "stdvar_over_time",
  "rate_counter",
];
export const AGGREGATIONS = [
  "sum",
  "avg",
  "min",
  "max",
  "count",
  "topk",
  "bottomk",
  "stddev",
  "stdvar",
  "sort",
  "sort_desc",
  "label_replace",
];

const FIELD_STAGES = ["drop", "keep", "unwrap"];

interface Token {
  kind: "name" | "string" | "open-string" | "number" | "mark";
  text: string;
  from: number;
}

/** What the cursor at `at` is in; the selector of a grouping often stands behind it. */
export function situationAt(whole: string, at: number): Situation {
  const tokens = tokensOf(whole.slice(0, at));
  const last = tokens.at(-1);
  const isWord = last !== undefined && isWordToken(last) && last.from + last.text.length === at;
  const isIn = last?.kind === "open-string";
  const before = isWord || isIn ? tokens.slice(0, -1) : tokens;
  const from = isIn && last ? last.from + 1 : isWord && last ? last.from : at;
  return { ...placeOf(before, isIn, whole), from };
}

const isWordToken = (token: Token) => token.kind === "name" || token.kind === "number";

function placeOf(tokens: Token[], isQuoted: boolean, whole: string): Place {
  const bracket = openBracket(tokens);
  if (bracket?.text === "[") return { kind: "duration" };
  if (bracket?.text === "{") return inSelector(tokens, bracket, isQuoted);
  const previous = tokens.at(-1);
  if (bracket?.text === "(" && isGrouping(tokens, bracket)) {
    return isQuoted ? { kind: "none" } : { kind: "grouping", selector: firstSelector(whole) };
  }
  const selector = lastSelector(tokens);
  if (selector) return inPipeline(tokens, selector, isQuoted);
  if (isQuoted || previous?.kind === "name" || previous?.kind === "number") return { kind: "none" };
  return { kind: "start" };
}

function inSelector(tokens: Token[], bracket: Token, isQuoted: boolean): Place {
  const within = tokens.slice(tokens.indexOf(bracket) + 1);
  const [name, op] = within.slice(-2);
  const others = selectorText(within);
  const isValue = op !== undefined && name?.kind === "name" && isMatchOp(op.text);
  if (isValue) return { kind: "value", label: name.text, selector: others, isQuoted };
  const previous = within.at(-1);
  const isName = !isQuoted && (previous === undefined || previous.text === ",");
  return isName ? { kind: "label", selector: others } : { kind: "none" };
}

const isMatchOp = (text: string) => ["=", "!=", "=~", "!~"].includes(text);

/** The matchers that are whole, as a selector. */
function selectorText(tokens: Token[]): string {
  const whole: string[] = [];
  for (let i = 0; i + 2 < tokens.length; i += 1) {
    const [name, op, value] = tokens.slice(i, i + 3);
    if (name?.kind === "name" && op && isMatchOp(op.text) && value?.kind === "string") {
      whole.push(name.text + op.text + value.text);
    }
  }
  return `{${whole.join(", ")}}`;
}

function inPipeline(tokens: Token[], selector: Selector, isQuoted: boolean): Place {
  const rest = tokens.slice(selector.end + 1);
  const pipe = rest.findLastIndex((it) => it.text === "|");
  const previous = rest.at(-1);
  const stage = rest.slice(pipe + 1);
  if (pipe < 0 || isLineFilter(previous)) {
    return isQuoted || isLineFilter(previous) ? { kind: "none" } : { kind: "operator" };
  }
  const query = selector.text + textOf(rest.slice(0, pipe));
  if (stage.length === 0) return isQuoted ? { kind: "none" } : { kind: "stage", query };
  const [first] = stage;
  const [name, op] = stage.slice(-2);
  if (op && name?.kind === "name" && isComparison(op.text) && !STAGES.includes(first?.text ?? "")) {
    return { kind: "field-value", field: name.text, query, isQuoted };
  }
  if (isQuoted) return { kind: "none" };
  const takesFields = FIELD_STAGES.includes(first?.text ?? "");
  if (takesFields && (stage.length === 1 || previous?.text === ",")) return { kind: "field", query };
  const goesOn = ["and", "or", ",", "("].includes(previous?.text ?? "");
  if (goesOn && !takesFields) return { kind: "field", query };
  return { kind: "operator" };
}

const isComparison = (text: string) => isMatchOp(text) || ["==", ">", ">=", "<", "<="].includes(text);
const isLineFilter = (token: Token | undefined) =>
  token !== undefined && ["|=", "|~", "|>", "!>"].includes(token.text);

interface Selector {
  /** Index of its closing brace. */
  end: number;
  text: string;
}

/** The last closed selector, unless its expression is over. */
function lastSelector(tokens: Token[]): Selector | undefined {
  const end = tokens.findLastIndex((it) => it.text === "}");
  const rest = tokens.slice(end);
  const isOver = rest.some((it) => it.text === "[" || (it.text === ")" && !opens(rest)));
  if (end < 0 || isOver) return undefined;
  const start = tokens.slice(0, end).findLastIndex((it) => it.text === "{");
  return { end, text: textOf(tokens.slice(start, end + 1)) };
}

/** Whether a parenthesis was opened after the selector, as in `| (a=1 or b=2)`. */
function opens(tokens: Token[]): boolean {
  return tokens.some((it) => it.text === "(");
}

function firstSelector(whole: string): string {
  const tokens = tokensOf(whole);
  const start = tokens.findIndex((it) => it.text === "{");
  const end = tokens.findIndex((it, i) => i > start && it.text === "}");
  return start >= 0 && end > start ? textOf(tokens.slice(start, end + 1)) : "{}";
}

function textOf(tokens: Token[]): string {
  return tokens.map((it) => it.text).join(" ");
}

function isGrouping(tokens: Token[], bracket: Token): boolean {
  const before = tokens[tokens.indexOf(bracket) - 1];
  return before !== undefined && ["by", "without", "on", "ignoring"].includes(before.text);
}

const CLOSERS: Record<string, string> = { "}": "{", ")": "(", "]": "[" };

/** The innermost bracket that is still open. */
function openBracket(tokens: Token[]): Token | undefined {
  const open: Token[] = [];
  for (const token of tokens) {
    if (token.kind !== "mark") continue;
    if ("{([".includes(token.text)) open.push(token);
    else if (CLOSERS[token.text] === open.at(-1)?.text) open.pop();
  }
  return open.at(-1);
}

const SPACE = /\s+|#[^\n]*/y;
const NAME = /[A-Za-z_$][\w.:]*/y;
const NUMBER = /\d[\w.]*/y;
const STRING = /"(?:[^"\\\n]|\\.)*"|`[^`]*`/y;
const OPEN_STRING = /["`][^]*$/y;
const MARK = /\|=|\|~|\|>|!=|!~|!>|=~|==|>=|<=|[^]/y;

function tokensOf(text: string): Token[] {
  const tokens: Token[] = [];
  const kinds: [Token["kind"] | "space", RegExp][] = [
    ["space", SPACE],
    ["name", NAME],
    ["number", NUMBER],
    ["string", STRING],
    ["open-string", OPEN_STRING],
    ["mark", MARK],
  ];
  for (let from = 0; from < text.length; ) {
    for (const [kind, pattern] of kinds) {
      pattern.lastIndex = from;
      const found = pattern.exec(text)?.[0];
      if (!found) continue;
      if (kind !== "space") tokens.push({ kind, text: found, from });
      from += found.length;
      break;
    }
  }
  return tokens;
}
