// A bar: how far, of how much. The words beside it carry the meaning.
interface MeterProps {
  value: number;
  total: number;
  /** With a label it is a progressbar for everyone; without, decoration of a number that stands beside it. */
  label?: string;
  text?: string;
  hue?: "ok" | "warn";
}

export function Meter({ value, total, label, text, hue }: MeterProps) {
  const share = total > 0 ? Math.min(1, Math.max(0, value / total)) : 0;
  const roles = label
    ? { role: "progressbar" as const, "aria-label": label, "aria-valuemin": 0, "aria-valuemax": total, "aria-valuenow": value, "aria-valuetext": text }
    : { "aria-hidden": true as const };
  return (
    <div class={`ps-meter${hue ? ` ps-meter-${hue}` : ""}`} {...roles}>
      <i style={{ width: `${(share * 100).toFixed(2)}%` }} />
    </div>
  );
}
