// Keys of Explore, and the list of them.
import { useEffect, useRef } from "preact/hooks";
import "./keys.css";
import { Modal } from "../ui/modal";

const KEYS: [string, string][] = [
  ["Shift+Enter, Ctrl+Enter", "run the query"],
  ["Ctrl+Space", "what can stand here"],
  ["[ and ]", "earlier and later"],
  ["−", "zoom out"],
  ["← → on a chart", "move; with Shift mark a span, Enter zooms to it"],
  ["↑ ↓ Page Home End on lines", "go through the lines; Enter opens one"],
  ["Escape", "closes what is open"],
  ["?", "this list"],
];

interface Props {
  onClose: () => void;
  /** Of another view. */
  keys?: [string, string][];
}

export function Keys({ onClose, keys = KEYS }: Props) {
  return (
    <Modal title="Keys" onClose={onClose}>
      <dl class="keys">
        {keys.map(([key, what]) => (
          <div key={key}>
            <dt class="mono small">{key}</dt>
            <dd>{what}</dd>
          </div>
        ))}
      </dl>
    </Modal>
  );
}

/** Single keys, where nobody is writing. */
export function useKeys(keys: Record<string, () => void>) {
  const latest = useRef(keys);
  latest.current = keys;
  useEffect(() => {
    const onKeyDown = (event: KeyboardEvent) => {
      if (event.ctrlKey || event.metaKey || event.altKey) return;
      const at = event.composedPath()[0];
      const isField = at instanceof HTMLElement && at.matches("input, textarea, select");
      const isWriting = isField || (at instanceof HTMLElement && at.isContentEditable);
      if (isWriting || document.querySelector("dialog[open]")) return;
      const act = latest.current[event.key];
      if (!act) return;
      event.preventDefault();
      act();
    };
    document.addEventListener("keydown", onKeyDown);
    return () => document.removeEventListener("keydown", onKeyDown);
  }, []);
}
