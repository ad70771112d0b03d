// The home page's data: at once from the page itself, then from the server as it changes.
import { useState } from "preact/hooks";
import { getJson } from "../api/client";
import { usePoll, type Polled } from "../api/poll";
import { embedded, type HomeView } from "./view";

const REFRESH_MS = 10_000;
const ADDRESS = "/-/skep/v1/home";

const written = embedded(document.getElementById("home-data")?.textContent);
/** The newest, for who comes back to the page from another view. */
let newest = written;

export function useHome(isShown: boolean): Polled<HomeView> {
  const [first] = useState(newest);
  const { data, error } = usePoll(
    ADDRESS,
    REFRESH_MS,
    async (abort) => {
      newest = (await getJson(ADDRESS, {}, abort)) as HomeView;
      return newest;
    },
    !isShown,
  );
  return { data: data ?? first, error };
}
