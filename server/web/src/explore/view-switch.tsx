// Chooses how an answer is shown.
import type { View } from "./series-view";

const NAMES: Record<View, string> = {
  chart: "Chart",
  stacked: "Stacked",
  table: "Table",
  explain: "Explain",
};

interface Props {
  views: readonly View[];
  names?: Partial<Record<View, string>>;
  view: View;
  choose: (view: View) => void;
}

export function ViewSwitch({ views, names, view, choose }: Props) {
  return (
    <div class="segmented" role="group" aria-label="View">
      {views.map((it) => (
        <button key={it} type="button" aria-pressed={view === it} onClick={() => choose(it)}>
          {names?.[it] ?? NAMES[it]}
        </button>
      ))}
    </div>
  );
}
