// Runs before the first paint, so that a chosen theme does not flash in the other colours.
const root = document.documentElement;
const chosen = localStorage.getItem("theme") ?? root.dataset.defaultTheme;
if (chosen === "light" || chosen === "dark") root.dataset.theme = chosen;
