// Starts the page.
import { render } from "preact";
import "./tokens.css";
import "./base.css";
import { App } from "./app";

const root = document.getElementById("app");
if (root) render(<App />, root);

// Without it, a phone shows its own error page while the server is away. A certificate that the
// browser does not trust forbids it, and nothing else fails for that.
if (import.meta.env.PROD && "serviceWorker" in navigator) {
  navigator.serviceWorker.register("/sw.js").catch(() => undefined);
}
