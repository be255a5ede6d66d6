// The head of a panel: what it is, what it shows, what can be done, and the Python that does the same.
import type { ComponentChildren } from "preact";
import { useState } from "preact/hooks";
import { IconButton } from "./button";
import { Code } from "./code";
import { Icon, type IconName } from "./icon";

interface PanelHeadProps {
  icon: IconName;
  title: string;
  titleId: string;
  /** Beside the title, muted: a count, a badge. */
  context?: ComponentChildren;
  /** Python that does what the panel now shows; undefined while there is nothing to say. */
  code?: string | undefined;
  /** Buttons, before Show code. */
  children?: ComponentChildren;
}

export function PanelHead({ icon, title, titleId, context, code, children }: PanelHeadProps) {
  const [open, setOpen] = useState(false);
  return (
    <>
      <header class="ps-head">
        <Icon name={icon} hue="muted" />
        <h2 id={titleId} class="ps-cut" title={title}>
          <bdi>{title}</bdi>
        </h2>
        <span class="ps-muted ps-s">{context}</span>
        <span class="ps-end ps-row ps-tight">
          {children}
          {code && <IconButton icon="code" label="Show code" expanded={open} onPress={() => setOpen(!open)} />}
        </span>
      </header>
      {open && code && (
        <Code text={code} label="The same in Python">
          <IconButton icon="close" label="Hide code" onPress={() => setOpen(false)} />
        </Code>
      )}
    </>
  );
}
