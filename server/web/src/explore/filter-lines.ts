// Finds the lines that hold a text among very many, without keeping the page from answering.
import { useEffect, useState } from "preact/hooks";
import type { Line } from "../api/loki";

/** A frame has 16 ms, and drawing needs some of them. */
const SLICE_MS = 8;
const CHUNK_LINES = 500;

/** Goes on with each `next()`; its last value are the lines that hold the text in any case. */
export function* filtering(lines: Line[], text: string): Generator<undefined, Line[]> {
  const sought = text.toLowerCase();
  const found: Line[] = [];
  for (let i = 0; i < lines.length; i += 1) {
    const line = lines[i];
    if (line?.text.toLowerCase().includes(sought)) found.push(line);
    if (i % CHUNK_LINES === CHUNK_LINES - 1) yield undefined;
  }
  return found;
}

/** All lines at once where there is nothing to find; else the last result until the next is there. */
export function useFiltered(lines: Line[], text: string): { lines: Line[]; isBusy: boolean } {
  const [found, setFound] = useState({ of: lines, text: "", lines });
  useEffect(() => {
    if (text === "") return;
    let isOver = false;
    const work = filtering(lines, text);
    const channel = new MessageChannel();
    const slice = () => {
      const until = performance.now() + SLICE_MS;
      while (!isOver) {
        const step = work.next();
        if (step.done) {
          setFound({ of: lines, text, lines: step.value });
          return;
        }
        if (performance.now() > until) {
          channel.port2.postMessage(undefined);
          return;
        }
      }
    };
    channel.port1.onmessage = slice;
    channel.port2.postMessage(undefined);
    return () => {
      isOver = true;
      channel.port1.close();
    };
  }, [lines, text]);
  if (text === "") return { lines, isBusy: false };
  const isBusy = found.of !== lines || found.text !== text;
  return { lines: found.text === "" ? [] : found.lines, isBusy };
}
