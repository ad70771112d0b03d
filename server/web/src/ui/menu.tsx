// A button that opens a few more; Escape, a choice, or a look elsewhere closes it.
import { useEffect, useRef } from "preact/hooks";
import "./menu.css";

interface Props {
  label: string;
  choices: [name: string, choose: () => void][];
}

export function Menu({ label, choices }: Props) {
  const box = useRef<HTMLDetailsElement>(null);
  const close = () => {
    if (box.current) box.current.open = false;
  };
  useEffect(() => {
    const onPointer = (event: Event) => {
      if (!box.current?.contains(event.target as Node)) close();
    };
    document.addEventListener("pointerdown", onPointer);
    return () => document.removeEventListener("pointerdown", onPointer);
  }, []);
  return (
    <details
      class="menu"
      ref={box}
      onKeyDown={(event) => {
        if (event.key !== "Escape" || !box.current?.open) return;
        close();
        box.current.querySelector("summary")?.focus();
      }}
      onFocusOut={(event) => {
        const next = event.relatedTarget as Node | null;
        if (next && !box.current?.contains(next)) close();
      }}
    >
      <summary>{label}</summary>
      <div class="menu-choices">
        {choices.map(([name, choose]) => (
          <button
            key={name}
            type="button"
            onClick={() => {
              close();
              choose();
            }}
          >
            {name}
          </button>
        ))}
      </div>
    </details>
  );
}
