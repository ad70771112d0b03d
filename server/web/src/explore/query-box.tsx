// A box for one query with its Run button; Ctrl+Enter runs, too.
import { useEffect, useState } from "preact/hooks";

interface Props {
  /** `promql` or `logql`: the prefix of the test hooks. */
  language: string;
  label: string;
  placeholder: string;
  query: string;
  isBusy: boolean;
  run: (query: string) => void;
  cancel: () => void;
}

export function QueryBox({ language, label, placeholder, query, isBusy, run, cancel }: Props) {
  const [text, setText] = useState(query);
  useEffect(() => setText(query), [query]);
  const submit = (event: Event) => {
    event.preventDefault();
    if (text.trim() !== "") run(text.trim());
  };
  const onKeyDown = (event: KeyboardEvent) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) submit(event);
  };
  return (
    <form class="query" onSubmit={submit}>
      <textarea
        rows={1}
        aria-label={label}
        placeholder={placeholder}
        autocomplete="off"
        autocapitalize="none"
        spellcheck={false}
        value={text}
        onInput={(event) => setText(event.currentTarget.value)}
        onKeyDown={onKeyDown}
        data-testid={`${language}-input`}
      />
      {isBusy ? (
        <button type="button" onClick={cancel}>
          Cancel
        </button>
      ) : (
        <button type="submit" class="primary" title="Ctrl+Enter" data-testid={`${language}-run`}>
          Run
        </button>
      )}
    </form>
  );
}
