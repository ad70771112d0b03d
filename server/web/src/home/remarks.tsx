// What is wrong with the home page's files, for who can mend it; and how to begin without a file.
import "./remarks.css";
import { counted } from "../ui/format";
import type { HomeView, Remark } from "./view";

export function Faults({ faults, warnings }: Pick<HomeView, "faults" | "warnings">) {
  return (
    <>
      {faults.length > 0 && (
        <div class="panel faults" role="alert">
          <p>
            <strong>The home page’s newest file cannot be used; what it said before still counts.</strong>
          </p>
          <List remarks={faults} />
        </div>
      )}
      {warnings.length > 0 && (
        <details class="panel warnings">
          <summary>
            {counted(warnings.length, "thing")} in the home page’s files that Skep does not do
          </summary>
          <List remarks={warnings} />
        </details>
      )}
    </>
  );
}

function List({ remarks }: { remarks: Remark[] }) {
  return (
    <ul class="small">
      {remarks.map(({ file, line, key, text }, i) => (
        <li key={i}>
          <span class="mono">
            {file}
            {line > 0 && `:${line}`}
          </span>{" "}
          {key !== "" && <strong>{key}</strong>} {text}
        </li>
      ))}
    </ul>
  );
}

const EXAMPLE = `[[groups]]
name = "Media"

[[groups.services]]
name = "Jellyfin"
href = "https://jellyfin.home.lan"
description = "Films and series"`;

/** For who has written no file yet. */
export function Teaching() {
  return (
    <details class="panel teaching">
      <summary>Your services can stand here, with a light that says whether they are up</summary>
      <p>
        Write <code>home.toml</code> beside the server’s own file, name it there with{" "}
        <code>[home]</code> <code>file = "home.toml"</code>, and restart the server. Later changes
        show at once. gethomepage’s files are read as they are:{" "}
        <code>gethomepage = "/path/to/config"</code>.
      </p>
      {/* Scrolls sideways on a phone, so the keyboard must get there. */}
      <pre class="mono small" tabIndex={0}>
        {EXAMPLE}
      </pre>
    </details>
  );
}
