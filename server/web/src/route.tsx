// The address is the state of a view: a link to it shows the same thing to somebody else.
import type { ComponentProps } from "preact";
import { useEffect, useState } from "preact/hooks";

export interface Route {
  path: string;
  query: URLSearchParams;
}

const CHANGED = "skep-route";

function current(): Route {
  return { path: location.pathname, query: new URLSearchParams(location.search) };
}

export function useRoute(): Route {
  const [route, setRoute] = useState(current);
  useEffect(() => {
    const update = () => setRoute(current());
    addEventListener("popstate", update);
    addEventListener(CHANGED, update);
    return () => {
      removeEventListener("popstate", update);
      removeEventListener(CHANGED, update);
    };
  }, []);
  return route;
}

export function go(href: string) {
  history.pushState(null, "", href);
  dispatchEvent(new Event(CHANGED));
}

/** Changes the address without a step back to the one before, and without telling: for text that is
 * being typed, which its component knows already. */
export function note(href: string) {
  history.replaceState(null, "", href);
}

/** An ordinary link that does not load the page anew. */
export function Link(props: ComponentProps<"a"> & { href: string }) {
  const onClick = (event: MouseEvent) => {
    if (event.ctrlKey || event.metaKey || event.shiftKey || event.button !== 0) return;
    event.preventDefault();
    go(props.href);
  };
  return <a {...props} onClick={onClick} />;
}
