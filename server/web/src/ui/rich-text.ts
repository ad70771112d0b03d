// A log line as pieces: ANSI colours become classes, and what was looked for is marked.

export interface Piece {
  text: string;
  /** Names of classes, as `ansi-red ansi-bold`. */
  look: string;
  isSought: boolean;
}

const COLOURS = ["black", "red", "green", "yellow", "blue", "magenta", "cyan", "white"];
/** `ESC [ … letter`; of those only `m` says something about looks. */
const ESCAPE = /\u001b\[([\d;:]*)([A-Za-z])/g;
/** More marks than anybody looks at; a pattern as `.` finds every character. */
const MARKS_MAX = 200;

export function plain(text: string): string {
  return text.includes("\u001b") ? text.replace(ESCAPE, "") : text;
}

export function pieces(text: string, sought?: RegExp): Piece[] {
  const coloured = text.includes("\u001b") ? byColour(text) : [{ text, look: "", isSought: false }];
  return sought ? marked(coloured, sought) : coloured;
}

function byColour(text: string): Piece[] {
  const all: Piece[] = [];
  let look: Look = {};
  let from = 0;
  for (const found of text.matchAll(ESCAPE)) {
    if (found.index > from) all.push(piece(text.slice(from, found.index), look));
    if (found[2] === "m") look = changed(look, found[1] ?? "");
    from = found.index + found[0].length;
  }
  if (from < text.length) all.push(piece(text.slice(from), look));
  return all;
}

interface Look {
  colour?: string | undefined;
  isBold?: boolean;
}

function piece(text: string, look: Look): Piece {
  const names = [look.colour && `ansi-${look.colour}`, look.isBold && "ansi-bold"];
  return { text, look: names.filter(Boolean).join(" "), isSought: false };
}

function changed(look: Look, parameters: string): Look {
  let next = { ...look };
  const codes = parameters.split(/[;:]/).map(Number);
  for (let i = 0; i < codes.length; i += 1) {
    const code = codes[i] ?? 0;
    if (code === 0) next = {};
    else if (code === 1) next.isBold = true;
    else if (code === 22) next.isBold = false;
    else if (code === 39) next.colour = undefined;
    else if (code >= 30 && code <= 37) next.colour = COLOURS[code - 30];
    else if (code >= 90 && code <= 97) next.colour = COLOURS[code - 90];
    // 256 colours and true colour take parameters of their own.
    else if (code === 38 || code === 48) i += codes[i + 1] === 5 ? 2 : 4;
  }
  return next;
}

/** Marks go over the borders of colours, as the line was searched without them. */
function marked(coloured: Piece[], sought: RegExp): Piece[] {
  const text = coloured.map((it) => it.text).join("");
  const spans: [number, number][] = [];
  sought.lastIndex = 0;
  for (const found of text.matchAll(sought)) {
    if (found[0] !== "") spans.push([found.index, found.index + found[0].length]);
    if (spans.length >= MARKS_MAX) break;
  }
  if (spans.length === 0) return coloured;
  const all: Piece[] = [];
  let start = 0;
  for (const { text, look } of coloured) {
    const end = start + text.length;
    const edges = spans.flat().filter((it) => it > start && it < end);
    const cuts = [start, ...edges, end];
    for (let i = 0; i + 1 < cuts.length; i += 1) {
      const [from = 0, to = 0] = [cuts[i], cuts[i + 1]];
      const isSought = spans.some(([a, b]) => a <= from && to <= b);
      if (to > from) all.push({ text: text.slice(from - start, to - start), look, isSought });
    }
    start = end;
  }
  return all;
}
