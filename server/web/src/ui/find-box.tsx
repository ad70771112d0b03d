// A box to search in what stands below it, as somebody types.
interface Props {
  label: string;
  placeholder: string;
  text: string;
  setText: (text: string) => void;
}

export function FindBox({ label, placeholder, text, setText }: Props) {
  return (
    <input
      type="search"
      aria-label={label}
      placeholder={placeholder}
      value={text}
      onInput={(event) => setText(event.currentTarget.value)}
    />
  );
}
