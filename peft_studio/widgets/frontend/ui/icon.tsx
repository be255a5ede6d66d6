// The icons: 16 × 16, outline 1.4 px, round ends, currentColor. Drawn for PEFT Studio.
import type { MoreIcon } from "./icons-more";

export const ring = (x: number, y: number, r: number): string => `M${x - r} ${y}a${r} ${r} 0 1 0 ${2 * r} 0a${r} ${r} 0 1 0 ${-2 * r} 0`;
const RING = ring(8, 8, 6);
const HANDS = "M8 4.8V8l2.3 1.6";

/** Outline, filled, dashed. */
type Drawing = readonly [outline: string, filled?: string, dashed?: string];
const CORE = {
  check: [RING + "M5.2 8.3l2 2L11 6"],
  clock: [RING + HANDS],
  close: ["M4 4l8 8M12 4l-8 8"],
  code: ["M5.5 4.5L2 8l3.5 3.5M10.5 4.5L14 8l-3.5 3.5"],
  copy: ["M5.5 6.5a1 1 0 0 1 1-1h6a1 1 0 0 1 1 1v6a1 1 0 0 1-1 1h-6a1 1 0 0 1-1-1zM10.5 5.3V2.5h-8v8h2.8"],
  data: ["M2 4a1 1 0 0 1 1-1h10a1 1 0 0 1 1 1v8a1 1 0 0 1-1 1H3a1 1 0 0 1-1-1zM2 6.3h12M2 9.7h12M6.3 6.3V13"],
  down: ["M4 6l4 4 4-4"],
  error: ["M5.5 2h5L14 5.5v5L10.5 14h-5L2 10.5v-5zM6 6l4 4M10 6l-4 4"],
  info: [RING + "M8 7.4v3.8", ring(8, 5, 0.9)],
  insert: ["M3 2.5h10v4H3zM8 9v5M5.5 11.5h5"],
  laptop: ["M3.5 4a1 1 0 0 1 1-1h7a1 1 0 0 1 1 1v5a1 1 0 0 1-1 1h-7a1 1 0 0 1-1-1zM1.8 12.8h12.4"],
  left: ["M10 4L6 8l4 4"],
  lost: [RING + "M6.3 6.4a1.8 1.8 0 1 1 2.6 1.6c-.6.3-.9.6-.9 1.2", ring(8, 11.3, 0.8)],
  model: ["M8 1.8l5.4 3.1v6.2L8 14.2l-5.4-3.1V4.9zM2.8 5L8 8l5.2-3M8 8v6"],
  open: ["M8 2a6 6 0 1 1-5.2 3"],
  play: ["M5 3.5v9l7-4.5z"],
  queued: ["", "", RING],
  right: ["M6 4l4 4-4 4"],
  sliders: ["M2 4.5h6M11 4.5h3M2 11.5h3M8 11.5h6" + ring(9.5, 4.5, 1.5) + ring(6.5, 11.5, 1.5)],
  stale: [HANDS, "", RING],
  stop: ["M4 5a1 1 0 0 1 1-1h6a1 1 0 0 1 1 1v6a1 1 0 0 1-1 1H5a1 1 0 0 1-1-1z"],
  stopped: [RING, "M5.8 5.8h4.4v4.4H5.8z"],
  stopsave: ["M11 6.5v-3H3v8h4M8.5 11.5l2 2 3.5-4.5"],
  todo: [ring(8, 8, 5.2)],
  train: [RING, ring(8, 8, 3)],
  warn: ["M8 2.5l6 11H2zM8 6.7v3", ring(8, 11.6, 0.9)],
} as const satisfies Record<string, Drawing>;
const ICONS: Record<string, Drawing> = { ...CORE };

/** Add drawings that only some panels wear: see icons-more.ts. */
export function addIcons(more: Record<string, Drawing>): void {
  Object.assign(ICONS, more);
}

export type IconName = keyof typeof CORE | MoreIcon;
export type Hue = "ok" | "warn" | "error" | "info" | "accent" | "muted";

export function Icon({ name, hue, turning }: { name: IconName; hue?: Hue; turning?: boolean }) {
  const [outline, filled, dashed] = (ICONS[name] ?? [""]) as Drawing;
  return (
    <svg class={`ps-icon${hue ? ` ps-${hue}` : ""}${turning ? " ps-turning" : ""}`} viewBox="0 0 16 16" aria-hidden="true">
      {dashed && <path d={dashed} stroke-dasharray="2.6 2.1" />}
      {outline && <path d={outline} />}
      {filled && <path class="ps-filled" d={filled} />}
    </svg>
  );
}
