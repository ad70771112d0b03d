// Home: every host, what its units burn, and the newest lines of all journals.
import "./home.css";
import { Hosts } from "./hosts";
import { Journal } from "./journal";
import { Units } from "./units";

export function Home({ search }: { search: string }) {
  return (
    <>
      <Hosts search={search} />
      <div class="home-lower">
        <Journal search={search} />
        <Units search={search} />
      </div>
    </>
  );
}
