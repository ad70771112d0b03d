// Home: the services somebody wants to reach, every host, what its units burn, and the newest lines
// of all journals.
import "./home.css";
import type { Polled } from "../api/poll";
import { Trouble } from "../ui/trouble";
import { Hosts } from "./hosts";
import { Journal } from "./journal";
import { Listening } from "./listening";
import { Faults, Teaching } from "./remarks";
import { Services } from "./services";
import { Units } from "./units";
import { filtered, type HomeView } from "./view";
import { Widgets } from "./widgets";

export function Home({ home, search }: { home: Polled<HomeView>; search: string }) {
  const view = home.data;
  const shown = view && filtered(view, search);
  // Without an answer nobody is known to be a stranger, and the rest may still be told.
  const mayAsk = view?.caller !== "anonymous";
  return (
    <>
      <h1 class="visually-hidden">{view?.title ?? "Home"}</h1>
      {view && shown && <Services view={view} shown={shown} />}
      <Trouble error={home.error} />
      {view && <Faults faults={view.faults} warnings={view.warnings} />}
      {shown && <Widgets widgets={shown.widgets} />}
      {mayAsk && <Hosts search={search} />}
      {view?.caller === "admin" && !view.is_configured && search === "" && <Teaching />}
      {view && !mayAsk && view.groups.length + view.bookmarks.length + view.found.sites.length === 0 && (
        <p class="panel message">Nothing here is for everybody. Log in to see what is yours.</p>
      )}
      {mayAsk && (
        <div class="home-lower">
          <Journal search={search} />
          <div class="home-side">
            <Units search={search} />
            {view?.found.units && <Listening search={search} hide={view.found.hide} />}
          </div>
        </div>
      )}
    </>
  );
}
