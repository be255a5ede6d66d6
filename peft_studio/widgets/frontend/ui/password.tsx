// A field for a secret. What is typed lives in the page's own control alone: it is in no state of ours, and gone from there once it was taken.
import type { Ref } from "preact";
import { Icon } from "./icon";

interface PasswordProps {
  id: string;
  label: string;
  control: Ref<HTMLInputElement>;
  describedBy?: string | undefined;
  invalid?: boolean;
  /** Whether there is anything in it now. */
  onFilled?: (filled: boolean) => void;
  onEnter: () => void;
}

export function Password({ id, label, control, describedBy, invalid, onFilled, onEnter }: PasswordProps) {
  return (
    <span class="ps-in">
      <Icon name="key" hue="muted" />
      <input
        ref={control}
        id={id}
        type="password"
        aria-label={label}
        aria-describedby={describedBy}
        aria-invalid={invalid ? "true" : undefined}
        autocomplete="off"
        spellcheck={false}
        data-1p-ignore
        data-lpignore="true"
        onInput={(event) => onFilled?.((event.target as HTMLInputElement).value !== "")}
        onKeyDown={(event) => event.key === "Enter" && onEnter()}
      />
    </span>
  );
}

/** What was typed, once: the field is empty afterwards. */
export function take(control: HTMLInputElement | null | undefined): string {
  const typed = control?.value ?? "";
  if (control) control.value = "";
  return typed;
}
