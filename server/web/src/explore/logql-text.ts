// LogQL as text that a click can change: matchers, label filters, and what line filters look for.
import type { SyntaxNode } from "@lezer/common";
import {
  Filter,
  Identifier,
  LabelParser,
  LineFilter,
  LogfmtParser,
  Matcher,
  MetricExpr,
  OrFilter,
  PipeExact,
  PipelineExpr,
  PipeMatch,
  parser,
  Selector,
  String as Text,
} from "@grafana/lezer-logql";

export type Op = "=" | "!=" | "=~" | "!~";

const OPPOSITE: Record<Op, Op> = { "=": "!=", "!=": "=", "=~": "!~", "!~": "=~" };

/** As LogQL writes a string. */
export function quoted(text: string): string {
  return JSON.stringify(text);
}

/** What a string means; undefined if it is none. */
export function unquoted(text: string): string | undefined {
  if (text.startsWith("`")) return text.slice(1, -1);
  try {
    return JSON.parse(text) as string;
  } catch {
    return undefined;
  }
}

/** Every stream selector gets the matcher, in place of one that says the opposite. */
export function withMatcher(query: string, name: string, op: Op, value: string): string {
  const matcher = `${name}${op}${quoted(value)}`;
  return edited(query, (selector) => {
    const all = nodesIn(selector, Matcher).map((node) => ({ node, ...partsOf(query, node) }));
    const same = all.find((it) => it.name === name && it.op === op && it.value === value);
    if (same) return undefined;
    const contradicts = (it: { op: Op; value: string | undefined }) =>
      (it.op === "=" && op === "=") || (it.op === OPPOSITE[op] && it.value === value);
    const against = all.find((it) => it.name === name && contradicts(it));
    if (against) return { from: against.node.from, to: against.node.to, text: matcher };
    const last = all.at(-1)?.node;
    const at = last ? last.to : selector.from + 1;
    return { from: at, to: at, text: last ? `, ${matcher}` : matcher };
  });
}

/** Every pipeline ends with the label filter; `parser` goes before it where no such one is yet. */
export function withFilter(
  query: string,
  name: string,
  op: Op,
  value: string,
  parser?: string,
): string {
  const filter = `| ${name}${op}${quoted(value)}`;
  const opposite = `| ${name}${OPPOSITE[op]}${quoted(value)}`;
  return edited(query, (selector) => {
    const pipeline = pipelineOf(selector);
    const at = pipeline?.to ?? selector.to;
    const stages = pipeline ? query.slice(pipeline.from, pipeline.to) : "";
    if (stages.includes(filter)) return undefined;
    const from = stages.includes(opposite) && pipeline ? pipeline.from + stages.indexOf(opposite) : at;
    if (from !== at) return { from, to: from + opposite.length, text: filter };
    const parse = parser && !parsersOf(query, pipeline).includes(parser) ? ` | ${parser}` : "";
    return { from: at, to: at, text: `${parse} ${filter}` };
  });
}

/** A log query with a parser at its end, unless it has it. */
export function withParser(query: string, parser: string | undefined): string {
  if (!parser) return query;
  return edited(query, (selector) => {
    const pipeline = pipelineOf(selector);
    const at = pipeline?.to ?? selector.to;
    const isThere = parsersOf(query, pipeline).includes(parser);
    return isThere ? undefined : { from: at, to: at, text: ` | ${parser}` };
  });
}

/** The number of lines of a log query in a range, those that a parser did not understand too. */
export function counting(query: string, range: string): string {
  const hasStages = /\|\s*[a-z]/.test(query);
  return `count_over_time(${query}${hasStages ? " | drop __error__, __error_details__" : ""} [${range}])`;
}

/** The first log query within: what a metric over lines counts, without its range. */
export function logQueryOf(query: string): string | undefined {
  const selector = nodesIn(parser.parse(query).topNode, Selector)[0];
  if (!selector) return undefined;
  const pipeline = pipelineOf(selector);
  const stages = pipeline ? query.slice(pipeline.from, pipeline.to) : "";
  return `${query.slice(selector.from, selector.to)} ${stages}`.trim();
}

export function selectorOf(query: string): string | undefined {
  const selector = nodesIn(parser.parse(query).topNode, Selector)[0];
  return selector && query.slice(selector.from, selector.to);
}

export function isMetric(query: string): boolean {
  return nodesIn(parser.parse(query).topNode, MetricExpr).length > 0;
}

/** What the line filters of a query look for, as one pattern; undefined if nothing. */
export function soughtBy(query: string): RegExp | undefined {
  const patterns: string[] = [];
  for (const node of nodesIn(parser.parse(query).topNode, LineFilter)) {
    const kind = node.getChild(Filter)?.firstChild?.type.id;
    if (kind !== PipeExact && kind !== PipeMatch) continue;
    const texts = [node.getChild(Text), ...nodesIn(node, OrFilter).map((it) => it.getChild(Text))];
    for (const text of texts) {
      const sought = text && unquoted(query.slice(text.from, text.to));
      if (sought) patterns.push(kind === PipeExact ? escaped(sought) : sought);
    }
  }
  return patterns.length > 0 ? compiled(patterns) : undefined;
}

/** Where the text is no LogQL, with what stands there. */
export function faultsOf(query: string): { from: number; to: number; message: string }[] {
  const faults: { from: number; to: number; message: string }[] = [];
  if (query.trim() === "") return faults;
  parser.parse(query).iterate({
    enter: (node) => {
      if (!node.type.isError) return undefined;
      const found = query.slice(node.from, node.to);
      const isEnd = query.slice(node.from).trim() === "";
      const message = isEnd ? "the query goes on here" : `unexpected ${found || query[node.from]}`;
      faults.push({ from: node.from, to: Math.max(node.to, node.from), message });
      return false;
    },
  });
  return faults;
}

function escaped(text: string): string {
  return text.replace(/[\\^$.*+?()[\]{}|]/g, "\\$&");
}

/** Go's patterns are nearly JavaScript's; those that are not mark nothing. */
function compiled(patterns: string[]): RegExp | undefined {
  const isCaseless = patterns.some((it) => it.startsWith("(?i)"));
  const source = patterns.map((it) => `(?:${it.replace(/^\(\?i\)/, "")})`).join("|");
  try {
    return new RegExp(source, isCaseless ? "gi" : "g");
  } catch {
    return undefined;
  }
}

interface Edit {
  from: number;
  to: number;
  text: string;
}

function edited(query: string, edit: (selector: SyntaxNode) => Edit | undefined): string {
  const edits = nodesIn(parser.parse(query).topNode, Selector).map(edit);
  // From the end, so that places before an edit stay where they are.
  return edits.reverse().reduce((text, it) => {
    return it ? text.slice(0, it.from) + it.text + text.slice(it.to) : text;
  }, query);
}

function nodesIn(top: SyntaxNode, id: number): SyntaxNode[] {
  const found: SyntaxNode[] = [];
  top.cursor().iterate((node) => {
    if (node.type.id === id) found.push(node.node);
  });
  return found;
}

function pipelineOf(selector: SyntaxNode): SyntaxNode | undefined {
  return selector.parent?.getChild(PipelineExpr) ?? undefined;
}

function parsersOf(query: string, pipeline: SyntaxNode | undefined): string[] {
  if (!pipeline) return [];
  const nodes = [...nodesIn(pipeline, LabelParser), ...nodesIn(pipeline, LogfmtParser)];
  return nodes.map((node) => query.slice(node.from, node.to).split(/\s/)[0] ?? "");
}

function partsOf(query: string, matcher: SyntaxNode) {
  const name = matcher.getChild(Identifier);
  const op = name?.nextSibling;
  const value = matcher.getChild(Text);
  const text = (node: SyntaxNode | null | undefined) =>
    node ? query.slice(node.from, node.to) : "";
  return { name: text(name), op: text(op) as Op, value: unquoted(text(value)) };
}
