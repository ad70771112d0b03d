// A bar that fills up and changes colour before it is full.
import "./meter.css";

interface Props {
  percent: number;
  label: string;
  warnAt: number;
  badAt: number;
}

export function Meter({ percent, label, warnAt, badAt }: Props) {
  const filled = Number.isFinite(percent) ? Math.min(100, Math.max(0, percent)) : 0;
  const state = percent >= badAt ? "bad" : percent >= warnAt ? "warn" : "good";
  return (
    <div
      class={`meter ${state}`}
      role="meter"
      aria-label={label}
      aria-valuemin={0}
      aria-valuemax={100}
      aria-valuenow={Math.round(filled)}
    >
      <div style={{ width: `${filled}%` }} />
    </div>
  );
}
