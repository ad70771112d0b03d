// What the source of a line said before and after it.
import { useState } from "preact/hooks";
import { linesBetween, nsOf, type Line, type LogAnswer } from "../api/loki";
import { LineList } from "../ui/lines";
import { Modal } from "../ui/modal";
import { Busy } from "./busy";
import { quoted } from "./logql-text";
import { useQuery } from "./use-query";

const LINES = 20;
const MORE_LINES = 200;
/** Further away there is no context. */
const SPAN_NS = 6n * 3_600_000_000_000n;

interface Props {
  line: Line;
  sought: RegExp | undefined;
  onClose: () => void;
}

export function ContextView({ line, sought, onClose }: Props) {
  const [n_lines, setLines] = useState(LINES);
  const { asked } = useQuery(`${line.key} ${n_lines}`, (abort) => around(line, n_lines, abort));
  const lines = asked.answer ?? [];
  const at = lines.findIndex((it) => it.key === line.key);
  return (
    <Modal title="Lines around it" onClose={onClose}>
      <p class="result-note">
        Lines of <code class="mono">{sourceOf(line)}</code>, the oldest first
      </p>
      {asked.state === "failed" && (
        <p class="error" role="alert">
          {asked.message}
        </p>
      )}
      {!asked.answer && asked.state === "busy" && <Busy what="Asking for the lines" />}
      {asked.answer && (
        <LineList
          key={lines.length}
          lines={lines}
          marked={line.key}
          sought={sought}
          label={`Lines around it; this one is number ${at + 1}`}
        />
      )}
      {n_lines === LINES && (
        <p class="result-note">
          <button type="button" onClick={() => setLines(MORE_LINES)}>
            {MORE_LINES} lines before and after
          </button>
        </p>
      )}
    </Modal>
  );
}

/** All levels: what led to an error seldom is one. */
function sourceOf(line: Line): string {
  const labels = Object.entries(line.labels).filter(([name]) => name !== "level");
  const pairs = labels.map(([name, value]) => `${name}=${quoted(value)}`);
  return `{${pairs.join(", ")}}`;
}

/** The oldest first; the line itself is one of those from its time on. */
async function around(line: Line, n_lines: number, abort: AbortSignal): Promise<Line[]> {
  const at = nsOf(line);
  const query = sourceOf(line);
  const ask = (span: [bigint, bigint], direction: "forward" | "backward") => {
    const [start, end] = span.map(String) as [string, string];
    return linesBetween(query, [start, end], n_lines + 1, direction, abort);
  };
  const [before, after] = await Promise.all([
    ask([at - SPAN_NS, at], "backward"),
    ask([at, at + SPAN_NS], "forward"),
  ]);
  const lines = [...inOrder(before), ...inOrder(after)];
  // Parsers and formats of the query have changed what the line looks like.
  return lines.some((it) => it.key === line.key) ? lines : replaced(lines, line, at);
}

function inOrder(answer: LogAnswer): Line[] {
  return answer.type === "lines" ? answer.lines.toReversed() : [];
}

function replaced(lines: Line[], line: Line, at: bigint): Line[] {
  const index = lines.findIndex((it) => nsOf(it) >= at);
  const isSame = index >= 0 && nsOf(lines[index] as Line) === at;
  return lines.toSpliced(index < 0 ? lines.length : index, isSame ? 1 : 0, line);
}
