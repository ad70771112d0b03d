// What the server tells once and nobody can show again, to be copied.
import { useRef, useState } from "preact/hooks";

interface Props {
  label: string;
  text: string;
  testId: string;
  onClose: () => void;
}

export function ShownOnce({ label, text, testId, onClose }: Props) {
  const [isCopied, setCopied] = useState(false);
  const box = useRef<HTMLTextAreaElement>(null);
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(text);
      setCopied(true);
    } catch {
      // Without leave to write to the clipboard, a person copies what stands there.
      box.current?.select();
    }
  };
  return (
    <>
      <textarea
        class="secret mono small"
        aria-label={label}
        data-testid={testId}
        ref={box}
        readOnly
        rows={Math.min(8, Math.ceil(text.length / 60))}
        value={text}
        onFocus={(event) => event.currentTarget.select()}
      />
      <div class="buttons">
        <button type="button" class="primary" onClick={copy}>
          {isCopied ? "Copied" : "Copy"}
        </button>
        <button type="button" onClick={onClose}>
          Done
        </button>
      </div>
    </>
  );
}
