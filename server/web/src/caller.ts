// Whether who looks is an administrator: the home page's data says so, elsewhere the server is asked.
import { useEffect, useState } from "preact/hooks";
import { me } from "./api/admin";

let asked: Promise<boolean> | undefined;

function ask(): Promise<boolean> {
  asked ??= me().then((it) => it.scopes.includes("admin"));
  // Who could not be asked is asked again by the next view.
  asked.catch(() => (asked = undefined));
  return asked;
}

/** `known` is what the home page's data says, if it is there. */
export function useIsAdmin(known: string | undefined): boolean {
  const [isAdmin, setAdmin] = useState(false);
  useEffect(() => {
    if (known !== undefined) return setAdmin(known === "admin");
    let isGone = false;
    ask().then(
      (it) => !isGone && setAdmin(it),
      () => undefined,
    );
    return () => {
      isGone = true;
    };
  }, [known]);
  return isAdmin;
}
