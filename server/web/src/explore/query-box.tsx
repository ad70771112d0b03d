// A box for one query: a plain text area until the editor is there, Run or Cancel, and the history.
import { useEffect, useRef, useState } from "preact/hooks";
import type { Editor } from "./editor";
import { added, load, store } from "./history";
import { HistoryList } from "./history-list";
import { faultPlace, LANGUAGE_NAMES, type Language } from "./language";

interface Props {
  language: Language;
  placeholder: string;
  query: string;
  isBusy: boolean;
  /** The server's words about the query, if it refused it. */
  fault: string;
  run: (query: string) => void;
  cancel: () => void;
}

export function QueryBox(props: Props) {
  const { language, placeholder, query, isBusy, fault, cancel } = props;
  const [text, setText] = useState(query);
  const [isEditor, setEditor] = useState(false);
  const [isHistory, setHistory] = useState(false);
  const host = useRef<HTMLDivElement>(null);
  const area = useRef<HTMLTextAreaElement>(null);
  const editor = useRef<Editor>();
  const label = `${LANGUAGE_NAMES[language]} query`;
  const testId = `${language}-input`;

  const run = (query: string) => {
    const trimmed = query.trim();
    if (trimmed === "") return;
    store(added(load(), language, trimmed, Date.now()));
    props.run(trimmed);
  };
  const latest = useRef({ text, run });
  latest.current = { text, run };

  useEffect(() => {
    let isGone = false;
    const open = async () => {
      const { openEditor } = await import("./editor");
      await composed(area.current);
      const parent = host.current;
      if (isGone || !parent) return;
      // All at once, so that no key lands in between: what stands in the area now, where somebody
      // writes in it, and the focus, which nothing hidden can have.
      const typed = area.current;
      const hadFocus = typed !== null && document.activeElement === typed;
      editor.current = openEditor({
        parent,
        language,
        text: typed?.value ?? latest.current.text,
        label,
        placeholder,
        testId,
        onChange: setText,
        onRun: (text) => latest.current.run(text),
      });
      parent.hidden = false;
      if (hadFocus) editor.current.focus([typed.selectionStart, typed.selectionEnd]);
      if (typed) typed.hidden = true;
      setEditor(true);
    };
    // Without the editor's code the text area goes on.
    open().catch(() => undefined);
    return () => {
      isGone = true;
      editor.current?.destroy();
    };
  }, []);
  useEffect(() => {
    setText(query);
    editor.current?.setText(query);
  }, [query]);
  useEffect(() => {
    const at = fault === "" ? undefined : faultPlace(latest.current.text, fault);
    editor.current?.setFault(at === undefined ? undefined : { at, message: fault });
  }, [fault, isEditor]);

  return (
    <>
      <form
        class="query"
        onSubmit={(event) => {
          event.preventDefault();
          run(text);
        }}
      >
        {/* Keys are for the editor, not for the page around it. */}
        <div class="editor" ref={host} hidden={!isEditor} onKeyDown={(event) => event.stopPropagation()} />
        {!isEditor && (
          <textarea
            ref={area}
            rows={1}
            aria-label={label}
            placeholder={placeholder}
            autocomplete="off"
            autocapitalize="none"
            spellcheck={false}
            value={text}
            onInput={(event) => setText(event.currentTarget.value)}
            onCompositionStart={(event) => (event.currentTarget.dataset.composing = "true")}
            onCompositionEnd={(event) => delete event.currentTarget.dataset.composing}
            onKeyDown={(event) => {
              if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey || event.shiftKey)) return;
              event.preventDefault();
              run(text);
            }}
            data-testid={testId}
          />
        )}
        <button type="button" onClick={() => setHistory(true)} aria-haspopup="dialog">
          History
        </button>
        {isBusy ? (
          // Keys, as a button that turns into Run while it is clicked would submit the form.
          <button key="cancel" type="button" onClick={cancel}>
            Cancel
          </button>
        ) : (
          <button
            key="run"
            type="submit"
            class="primary"
            title="Shift+Enter or Ctrl+Enter"
            data-testid={`${language}-run`}
          >
            Run
          </button>
        )}
      </form>
      {isHistory && <HistoryList language={language} run={run} onClose={() => setHistory(false)} />}
    </>
  );
}

/** Returns once no character is half written, as some languages' are. */
async function composed(area: HTMLTextAreaElement | null) {
  if (area?.dataset.composing === undefined) return;
  await new Promise((resolve) => area.addEventListener("compositionend", resolve, { once: true }));
}
