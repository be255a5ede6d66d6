// Buttons. A disabled one says why, stays in the tab order, and does nothing.
import type { ComponentChildren } from "preact";
import { useRef, useState } from "preact/hooks";
import { Icon, type IconName } from "./icon";

interface ButtonProps {
  icon?: IconName;
  kind?: "primary" | "danger" | "quiet";
  small?: boolean;
  /** Why it cannot be pressed now; undefined when it can. */
  reason?: string | undefined;
  expanded?: boolean;
  autofocus?: boolean;
  /** Its name, where its words alone do not say what it does. */
  label?: string;
  /** While the promise that it may return is not settled, a press does nothing: a double click starts one run, not two. */
  onPress: () => unknown;
  children: ComponentChildren;
}

export function Button({ icon, kind, small, reason, expanded, autofocus, label, onPress, children }: ButtonProps) {
  const going = useRef(false);
  const press = (): void => {
    if (reason !== undefined || going.current) return;
    going.current = true;
    void Promise.resolve(onPress()).finally(() => (going.current = false));
  };
  return (
    <button
      type="button"
      class={`ps-btn${kind ? ` ps-${kind}-btn` : ""}${small ? " ps-small" : ""}`}
      aria-disabled={reason !== undefined ? "true" : undefined}
      aria-expanded={expanded}
      aria-label={label}
      aria-description={reason}
      data-tip={reason ?? label}
      autofocus={autofocus}
      onClick={press}
    >
      {icon && <Icon name={icon} />}
      {children}
    </button>
  );
}

/** An icon alone; `label` is its name for everyone who does not see it. */
export function IconButton({ icon, label, expanded, reason, onPress }: { icon: IconName; label: string; expanded?: boolean; reason?: string | undefined; onPress: () => void }) {
  return (
    <button
      type="button"
      class="ps-btn ps-icon-btn"
      aria-label={label}
      aria-expanded={expanded}
      aria-disabled={reason !== undefined ? "true" : undefined}
      aria-description={reason}
      data-tip={reason ?? label}
      onClick={() => reason === undefined && onPress()}
    >
      <Icon name={icon} />
    </button>
  );
}

/** Copies a text and says so; where the page may not use the clipboard, it says how. `bare` is the icon alone. */
export function CopyButton({ text, label = "Copy", bare }: { text: string; label?: string; bare?: boolean }) {
  const [said, setSaid] = useState("");
  const copy = (): void => {
    const copied = navigator.clipboard?.writeText(text) ?? Promise.reject(new Error("no clipboard"));
    copied.then(() => setSaid("Copied"), () => setSaid("Select it and press Ctrl+C"));
  };
  if (bare) return <IconButton icon={said === "Copied" ? "check" : "copy"} label={said || label} onPress={copy} />;
  return (
    <>
      <Button icon="copy" small onPress={copy}>
        {said || label}
      </Button>
      <Said words={said} />
    </>
  );
}

/** Reads out what a button now says: a live region inside it would leave the button without a name. */
export function Said({ words }: { words: string }) {
  return (
    <span class="ps-hidden" role="status">
      {words}
    </span>
  );
}
