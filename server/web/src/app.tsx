// The frame of every view: top bar, banner when the server is away, and the view of the address.
import { useEffect, useState } from "preact/hooks";
import "./app.css";
import { useServerAway } from "./api/client";
import { useIsAdmin } from "./caller";
import { Home } from "./home/home";
import { useHostHits } from "./home/host-hits";
import { SearchBox } from "./home/search-box";
import { useHome } from "./home/use-home";
import { Link, useRoute } from "./route";
import { later } from "./ui/later";
import { KeysButton } from "./ui/keys";
import { ThemeButton } from "./ui/theme";

const Host = later(() => import("./host/host").then((it) => it.Host));
const Admin = later(() => import("./admin/admin").then((it) => it.Admin));
const Explore = later(() => import("./explore/explore").then((it) => it.Explore));

const HOME_KEYS: [string, string][] = [
  ["/", "search services, hosts, units and bookmarks"],
  ["Enter in the search", "opens the first that fits, else asks the web"],
  ["Escape in the search", "empties it"],
  ["↑ ↓ Page Home End on lines", "go through the lines; Enter opens one"],
];

export function App() {
  const route = useRoute();
  const away = useServerAway();
  const [search, setSearch] = useState("");
  const isHost = route.path.startsWith("/host/");
  const isExplore = route.path === "/explore";
  const isAdminView = route.path === "/admin" || route.path.startsWith("/admin/");
  const isHome = !isHost && !isExplore && !isAdminView;
  const home = useHome(isHome);
  const isAdmin = useIsAdmin(home.data?.caller);
  const isStranger = home.data?.caller === "anonymous";
  const hosts = useHostHits(isHome && !isStranger && search !== "");
  const title = home.data?.title ?? "Skep";
  useEffect(() => {
    if (isHome) document.title = title;
  }, [isHome, title]);
  return (
    <>
      <header class="topbar">
        <Link href="/" class="brand" aria-label="Skep, home">
          <Hive />
          <span>Skep</span>
        </Link>
        <nav aria-label="Views">
          <Link href="/" aria-current={isHome ? "page" : undefined}>
            Home
          </Link>
          <Link href="/explore" aria-current={isExplore ? "page" : undefined}>
            Explore
          </Link>
          {isAdmin && (
            <Link href="/admin" aria-current={isAdminView ? "page" : undefined}>
              Admin
            </Link>
          )}
        </nav>
        {isHome && <SearchBox search={search} setSearch={setSearch} view={home.data} more={hosts} />}
        <div class="actions">
          {isHome && <KeysButton keys={HOME_KEYS} />}
          <ThemeButton />
          {isStranger ? (
            <a class="button" href="/login">
              Log in
            </a>
          ) : (
            <form method="post" action="/logout">
              <button type="submit">Log out</button>
            </form>
          )}
        </div>
      </header>
      {away && (
        <div class="banner" role="alert">
          The server does not answer ({away}). Trying again…
        </div>
      )}
      <main>
        {isHome && <Home home={home} search={search} />}
        {isHost && <Host />}
        {isExplore && <Explore />}
        {isAdminView && <Admin />}
      </main>
    </>
  );
}

function Hive() {
  return (
    <svg
      viewBox="0 0 32 32"
      aria-hidden="true"
      fill="none"
      stroke="currentColor"
      stroke-width="2.6"
      stroke-linecap="round"
    >
      <path d="M5 27h22M7 22.500h18M8 18h16M9.500 13.500h13M12 9h8M14.500 5h3" />
    </svg>
  );
}
