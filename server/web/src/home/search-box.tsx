// The search of the home page: filters as somebody types, opens the first hit, else asks the web.
import "./search-box.css";
import { useRef } from "preact/hooks";
import { go } from "../route";
import { useKeys } from "../ui/keys";
import { hits, searchHref, type Hit, type HomeView } from "./view";

interface Props {
  search: string;
  setSearch: (search: string) => void;
  view: HomeView | undefined;
  /** Hosts. */
  more: Hit[];
}

export function SearchBox({ search, setSearch, view, more }: Props) {
  const input = useRef<HTMLInputElement>(null);
  useKeys({
    "/": () => {
      input.current?.focus();
      input.current?.select();
    },
  });
  const [first] = hits(view, more, search);
  const engine = view?.search[0];
  const isAsked = search.trim() !== "";
  const hint = !isAsked
    ? ""
    : first
      ? `Enter opens ${first.name}`
      : engine
        ? `Enter asks ${engine.name}`
        : "Nothing fits";
  const submit = (event: Event) => {
    event.preventDefault();
    if (!isAsked) return;
    if (first) open(first.href);
    else if (engine) location.assign(searchHref(engine, search));
  };
  return (
    <form class="search-box" role="search" onSubmit={submit}>
      <input
        ref={input}
        class="search"
        type="search"
        aria-label="Search services, hosts, units and bookmarks"
        aria-describedby="search-hint"
        aria-keyshortcuts="/"
        placeholder="Search…  ( / )"
        value={search}
        onInput={(event) => setSearch(event.currentTarget.value)}
        onKeyDown={(event) => {
          if (event.key !== "Escape") return;
          setSearch("");
          input.current?.blur();
        }}
      />
      <span id="search-hint" class="muted small ellipsis" role="status">
        {hint}
      </span>
    </form>
  );
}

function open(href: string) {
  const isView = href.startsWith("/host/") || href.startsWith("/explore");
  if (isView) go(href);
  else location.assign(href);
}
