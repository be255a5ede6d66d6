// A notice: an edge, an icon, a bold fact, a sentence or two, and what can be done about it.
import type { ComponentChildren } from "preact";
import { Icon, type IconName } from "./icon";

const ICONS = { warn: "warn", error: "error", info: "info", ok: "check" } as const satisfies Record<string, IconName>;

interface NoticeProps {
  hue: keyof typeof ICONS;
  icon?: IconName;
  fact: ComponentChildren;
  children?: ComponentChildren;
  actions?: ComponentChildren;
  /** An answer to a click is read out at once; everything else waits its turn. */
  urgent?: boolean;
  /** News worth reading out in its turn. */
  polite?: boolean;
}

export function Notice({ hue, icon, fact, children, actions, urgent, polite }: NoticeProps) {
  return (
    <div class={`ps-notice ps-notice-${hue}`} role={urgent ? "alert" : polite ? "status" : undefined}>
      <Icon name={icon ?? ICONS[hue]} hue={hue} />
      <div>
        <p class="ps-strong" dir="auto">
          {fact}
        </p>
        {children}
      </div>
      {actions && <span class="ps-acts">{actions}</span>}
    </div>
  );
}
