// One field of a form: label, dot (ring: default, filled: changed), control, back to default, and why, which opens below in the flow.
import type { ComponentChildren } from "preact";
import { useRef } from "preact/hooks";
import { Button } from "./button";
import { Icon } from "./icon";
import "./form-field.css";

interface FormFieldProps {
  /** Of the control; what describes it gets ids made of this one. */
  id: string;
  label: string;
  /** undefined: the field has no default. */
  changed?: boolean | undefined;
  /** The value that "back" goes back to. */
  back?: { words: string; onPress: () => void } | undefined;
  why?: { facts: [name: string, what: ComponentChildren][]; open: boolean; onToggle: () => void } | undefined;
  /** Beside the control: what its value comes to. */
  note?: ComponentChildren;
  /** Below the control: what its value means. */
  hint?: string;
  error?: { message: string; hint: string } | null;
  /** The control is a group of its own and takes no label element. */
  group?: boolean;
  children: ComponentChildren;
}

export function FormField({ id, label, changed, back, why, note, hint, error, group, children }: FormFieldProps) {
  const button = useRef<HTMLButtonElement>(null);
  const escape = (event: KeyboardEvent): void => {
    if (event.key !== "Escape" || !why?.open) return;
    event.stopPropagation();
    why.onToggle();
    button.current?.focus();
  };
  return (
    <div class="ps-field" onKeyDown={escape}>
      <span class="ps-label">
        {changed !== undefined && <i class={`ps-dot${changed ? "" : " ps-dot-default"}`} role="img" aria-label={changed ? "changed" : "default"} data-tip={changed ? "changed" : "default"} />}
        {group ? <span>{label}</span> : <label for={id}>{label}</label>}
        {why && (
          <button ref={button} type="button" class="ps-why" aria-label={`Why, ${label}`} data-tip="Why?" aria-expanded={why.open} aria-controls={`${id}-why`} onClick={why.onToggle}>
            <Icon name="info" />
          </button>
        )}
      </span>
      <span class="ps-control">
        {children}
        {back && (
          <Button kind="quiet" small icon="reset" label={`Back to default, ${back.words}`} onPress={back.onPress}>
            <span class="ps-cut">{back.words}</span>
          </Button>
        )}
        {note && <span class="ps-s ps-muted">{note}</span>}
      </span>
      {hint && (
        <p class="ps-field-hint" id={`${id}-hint`}>
          {hint}
        </p>
      )}
      {error && (
        <p class="ps-field-error" id={`${id}-error`} role="alert">
          <Icon name="error" hue="error" />
          <span dir="auto">
            {error.message} {error.hint}
          </span>
        </p>
      )}
      {why?.open && (
        <div class="ps-pop" id={`${id}-why`} role="group" aria-label={`Why, ${label}`}>
          <dl>
            {why.facts.map(([name, what]) => (
              <div key={name}>
                <dt>{name}</dt>
                <dd dir="auto">{what}</dd>
              </div>
            ))}
          </dl>
        </div>
      )}
    </div>
  );
}

/** What describes a control, for its aria-describedby. */
export function describedBy(id: string, { hint, error }: { hint?: string; error?: unknown }): string | undefined {
  return [error ? `${id}-error` : "", hint ? `${id}-hint` : ""].filter(Boolean).join(" ") || undefined;
}
