// Whether something fits a device, in the same words everywhere: look.md, "Fit badge".
import { Badge } from "./field";
import type { IconName } from "./icon";

export type Fit = "ok" | "tight" | "wont-fit" | "unknown";

const LOOKS: Record<Fit, { hue: "ok" | "warn" | "error" | "muted"; icon: IconName; word: string }> = {
  ok: { hue: "ok", icon: "check", word: "OK" },
  tight: { hue: "warn", icon: "warn", word: "Tight" },
  "wont-fit": { hue: "error", icon: "error", word: "Won't fit" },
  unknown: { hue: "muted", icon: "todo", word: "Unknown" },
};

export function FitBadge({ fit }: { fit: Fit }) {
  const { hue, icon, word } = LOOKS[fit];
  return <Badge hue={hue} icon={icon}>{word}</Badge>;
}
