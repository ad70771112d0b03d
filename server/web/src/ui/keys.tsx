// Single keys of a view, and the list of them behind `?`.
import { useEffect, useRef, useState } from "preact/hooks";
import "./keys.css";
import { Modal } from "./modal";

interface Props {
  /** What is listed: the key, and what it does. */
  keys: [string, string][];
  /** What single keys do in this view. */
  acts?: Record<string, () => void>;
}

export function KeysButton({ keys, acts = {} }: Props) {
  const [isOpen, setOpen] = useState(false);
  useKeys({ ...acts, "?": () => setOpen(true) });
  return (
    <>
      <button type="button" aria-haspopup="dialog" aria-label="Keys" aria-keyshortcuts="?" onClick={() => setOpen(true)}>
        ?
      </button>
      {isOpen && (
        <Modal title="Keys" onClose={() => setOpen(false)}>
          <dl class="keys">
            {[...keys, ["Escape", "closes what is open"], ["?", "this list"]].map(([key, what]) => (
              <div key={key}>
                <dt class="mono small">{key}</dt>
                <dd>{what}</dd>
              </div>
            ))}
          </dl>
        </Modal>
      )}
    </>
  );
}

/** Where nobody is writing. */
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
