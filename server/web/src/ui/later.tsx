// A view whose code comes when it is first looked at, so that the others stay small.
import type { ComponentType } from "preact";
import { useEffect, useState } from "preact/hooks";

export function later<P extends object>(load: () => Promise<ComponentType<P>>): ComponentType<P> {
  let loaded: ComponentType<P> | undefined;
  return function Later(props: P) {
    const [View, setView] = useState(() => loaded);
    const [isLost, setLost] = useState(false);
    useEffect(() => {
      if (loaded) return;
      load().then(
        (it) => {
          loaded = it;
          setView(() => it);
        },
        () => setLost(true),
      );
    }, []);
    if (View) return <View {...props} />;
    if (!isLost) return <p class="panel message">Loading…</p>;
    return (
      <p class="panel message" role="alert">
        This view could not be loaded: the server is away, or was updated since this page was opened.{" "}
        <button type="button" onClick={() => location.reload()}>
          Load the page anew
        </button>
      </p>
    );
  };
}
