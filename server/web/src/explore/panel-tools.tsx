// Adds another query of the same language below, or takes this one away.
export interface Place {
  /** From 1 on. */
  number: number;
  add: (() => void) | undefined;
  remove: (() => void) | undefined;
}

/** What a panel is called: the first has no number. */
export function titled(title: string, { number }: Place): string {
  return number === 1 ? title : `${title} ${number}`;
}

export function PanelTools({ add, remove }: Place) {
  return (
    <>
      {remove && (
        <button type="button" onClick={remove}>
          Remove
        </button>
      )}
      {add && (
        <button type="button" onClick={add}>
          Add query
        </button>
      )}
    </>
  );
}
