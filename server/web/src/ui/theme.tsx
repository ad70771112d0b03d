// The choice between the system's colours, light and dark; `public/theme.js` reads it at load.
import { useState } from "preact/hooks";

const THEMES = ["system", "light", "dark"] as const;
type Theme = (typeof THEMES)[number];
const SYMBOLS: Record<Theme, string> = { system: "◐", light: "☀", dark: "☾" };

function stored(): Theme {
  const theme = localStorage.getItem("theme") ?? document.documentElement.dataset.defaultTheme;
  return THEMES.find((known) => known === theme) ?? "system";
}

export function ThemeButton() {
  const [theme, setTheme] = useState(stored);
  const next = THEMES[(THEMES.indexOf(theme) + 1) % THEMES.length] ?? "system";
  const choose = () => {
    localStorage.setItem("theme", next);
    if (next === "system") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = next;
    dispatchEvent(new Event("skep-theme"));
    setTheme(next);
  };
  const label = `Theme: ${theme}. Switch to ${next}.`;
  return (
    <button type="button" onClick={choose} aria-label={label} title={label}>
      <span aria-hidden="true">{SYMBOLS[theme]}</span>
    </button>
  );
}
