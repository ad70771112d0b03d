// A link that shows somebody else the same: queries, views, and the range as it is now.
import { useState } from "preact/hooks";
import { Modal } from "../ui/modal";
import type { TimeRange } from "../ui/range";

/** The address with the range held fast: `1h` means another hour tomorrow. */
export function linkTo(href: string, range: TimeRange, now: number): string {
  const url = new URL(href);
  if (range.kind === "last") {
    url.searchParams.delete("range");
    url.searchParams.delete("refresh");
    url.searchParams.set("from", String(Math.round(now - range.seconds * 1000)));
    url.searchParams.set("to", String(Math.round(now)));
  }
  return url.href;
}

export function ShareButton({ range }: { range: TimeRange }) {
  const [isCopied, setCopied] = useState(false);
  const [link, setLink] = useState("");
  const copy = async () => {
    const href = linkTo(location.href, range, Date.now());
    try {
      await navigator.clipboard.writeText(href);
      setCopied(true);
      setTimeout(() => setCopied(false), 2_000);
    } catch {
      // Without leave to write to the clipboard, a person copies it.
      setLink(href);
    }
  };
  return (
    <>
      <button type="button" onClick={copy}>
        {isCopied ? "Copied" : "Copy link"}
      </button>
      {link && (
        <Modal title="Link" onClose={() => setLink("")}>
          <textarea
            class="mono small"
            aria-label="Link to this view"
            readOnly
            rows={4}
            value={link}
            onFocus={(event) => event.currentTarget.select()}
          />
        </Modal>
      )}
    </>
  );
}
