// A part of a whole, as a bar and in percent.
import { Meter } from "../home/meter";
import { percent } from "../ui/format";

export function Share({ of, part, label }: { of: number; part: number; label: string }) {
  const share = of > 0 ? (100 * part) / of : 0;
  return (
    <span class="share">
      <Meter percent={share} label={`Share of ${label}`} warnAt={Infinity} badAt={Infinity} />
      <span class="num">{share > 0 && share < 0.05 ? "< 0.1 %" : percent(share)}</span>
    </span>
  );
}
