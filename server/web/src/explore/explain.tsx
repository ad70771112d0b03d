// What the server would do, and did, for a query: its tree, each leaf, and what the leaves read.
import { getText } from "../api/client";
import { gridOf, type TimeRange } from "../ui/range";
import { Busy } from "./busy";
import { useQuery } from "./use-query";

/** Longer than the server's own limit, which says more. */
const TIMEOUT_MS = 150_000;

interface Props {
  path: string;
  query: string;
  range: TimeRange;
}

export function Explain({ path, query, range }: Props) {
  const { asked } = useQuery(JSON.stringify([path, query, range]), (abort) => {
    const params = { query, ...gridOf(range, Date.now()) };
    return getText(path, params, abort, { timeout_ms: TIMEOUT_MS });
  });
  if (asked.state === "failed") {
    return (
      <p class="error mono small" role="alert">
        {asked.message}
      </p>
    );
  }
  if (asked.answer === undefined) return <Busy what="Running the query to explain it" />;
  return (
    <pre class="explain mono small" tabIndex={0} aria-label="Explanation">
      {asked.answer}
    </pre>
  );
}
