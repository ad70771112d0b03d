// The queries of before: search, star, run again, forget.
import { useState } from "preact/hooks";
import "./history-list.css";
import { FindBox } from "../ui/find-box";
import { timeOfDay } from "../ui/format";
import { Modal } from "../ui/modal";
import { found, load, removed, starred, store, type Past } from "./history";
import { LANGUAGE_NAMES, type Language } from "./language";

interface Props {
  language: Language;
  run: (query: string) => void;
  onClose: () => void;
}

export function HistoryList({ language, run, onClose }: Props) {
  const [all, setAll] = useState(load);
  const [search, setSearch] = useState("");
  const change = (next: Past[]) => {
    store(next);
    setAll(next);
  };
  const rows = found(all, language, search);
  const now = Date.now();
  return (
    <Modal title={`${LANGUAGE_NAMES[language]} queries of this browser`} onClose={onClose}>
      <div class="history-search">
        <FindBox label="Search the history" placeholder="Search…" text={search} setText={setSearch} />
      </div>
      {rows.length === 0 && (
        <p class="message">
          {search ? "No query holds these words." : "Queries that you run are listed here."}
        </p>
      )}
      <ul class="history">
        {rows.map((past) => (
          <li key={past.query}>
            <button
              type="button"
              class="plain"
              aria-pressed={past.isStarred}
              aria-label={`Star: ${past.query}`}
              title={past.isStarred ? "Starred: it is kept" : "Keep it"}
              onClick={() => change(starred(all, past))}
            >
              {past.isStarred ? "★" : "☆"}
            </button>
            <button
              type="button"
              class="plain query-text mono small"
              title="Run it again"
              onClick={() => {
                onClose();
                run(past.query);
              }}
            >
              {past.query}
            </button>
            <time class="muted small num">{timeOfDay(past.at, now)}</time>
            <button
              type="button"
              class="plain"
              aria-label={`Forget: ${past.query}`}
              title="Forget it"
              onClick={() => change(removed(all, past))}
            >
              ×
            </button>
          </li>
        ))}
      </ul>
    </Modal>
  );
}
