// The picture of a service: a file of the user's, a built-in symbol, or letters on a colour.
import "./icon.css";
import type { Icon } from "./view";

export function TileIcon({ icon }: { icon: Icon }) {
  if (icon.kind === "file") {
    return <img class="icon" src={`/-/skep/v1/home/icons/${encodeURIComponent(icon.name)}`} alt="" />;
  }
  if (icon.kind === "built_in") {
    return (
      <svg class="icon" aria-hidden="true">
        <use href={`/icons.svg#${icon.name}`} />
      </svg>
    );
  }
  return (
    <span class={`icon letters tone-${icon.tone}`} aria-hidden="true">
      {icon.text}
    </span>
  );
}
