// Whether an element is on the screen, or nearly: what is not need not be drawn anew.
import type { RefObject } from "preact";
import { useEffect, useState } from "preact/hooks";

/** Drawn a little before it comes into sight. */
const MARGIN = "300px";

export function useInSight(element: RefObject<Element>): boolean {
  const [isInSight, setInSight] = useState(true);
  useEffect(() => {
    if (!element.current) return;
    const look = (entries: IntersectionObserverEntry[]) => setInSight(entries.at(-1)?.isIntersecting ?? true);
    const observer = new IntersectionObserver(look, { rootMargin: MARGIN });
    observer.observe(element.current);
    return () => observer.disconnect();
  }, []);
  return isInSight;
}
