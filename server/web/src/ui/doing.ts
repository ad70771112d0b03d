// Something that a person set off: that it is under way, and what went wrong with it.
import { useState } from "preact/hooks";

export function useDoing() {
  const [isBusy, setBusy] = useState(false);
  const [error, setError] = useState<Error>();
  const run = async (work: () => Promise<void>) => {
    setBusy(true);
    setError(undefined);
    try {
      await work();
    } catch (fault) {
      setError(fault as Error);
    } finally {
      setBusy(false);
    }
  };
  return { isBusy, error, run };
}
