// A panel with nothing to show yet: its name, one sentence of use, at most one primary and one quiet button.
import type { ComponentChildren } from "preact";
import { Icon, type IconName } from "./icon";

interface EmptyProps {
  icon: IconName;
  title: string;
  titleId: string;
  text: string;
  /** Buttons. */
  children?: ComponentChildren;
}

export function Empty({ icon, title, titleId, text, children }: EmptyProps) {
  return (
    <>
      <header class="ps-head">
        <Icon name={icon} hue="muted" />
        <h2 id={titleId}>{title}</h2>
      </header>
      <div class="ps-sec ps-empty">
        <p>{text}</p>
        {children && <p class="ps-row">{children}</p>}
      </div>
    </>
  );
}
