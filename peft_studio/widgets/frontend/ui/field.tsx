// Small controls: text, number, choice. They report when a person has finished (change), not on every key, unless `live`.
import type { ComponentChildren } from "preact";
import { useState } from "preact/hooks";
import { usePicked, useUnique } from "../bridge/hooks";
import { Icon, type IconName } from "./icon";

interface InputProps {
  value: string;
  label: string;
  /** Hidden labels are read out; the panel shows its own words beside the control. */
  placeholder?: string;
  icon?: IconName;
  /** After the value, inside the control. */
  unit?: string;
  kind?: "text" | "number" | "search";
  live?: boolean;
  /** What is wrong with it; shown below by the panel, announced here. */
  invalid?: boolean;
  describedBy?: string | undefined;
  /** For a label beside it. */
  id?: string | undefined;
  /** Offered as one types; any other text is as good. */
  suggestions?: string[];
  /** What is typed stays until the promise it may return is settled. */
  onChange: (value: string) => unknown;
}

export function Input({ value, label, placeholder, icon, unit, kind = "text", live, invalid, describedBy, id, suggestions, onChange }: InputProps) {
  // What is being typed; news from the kernel must not write over it.
  const [typed, setTyped] = useState<string | null>(null);
  const listId = useUnique();
  const type = (event: Event): void => {
    const words = (event.target as HTMLInputElement).value;
    if (live) onChange(words);
    else setTyped(words);
  };
  // Enter or leaving it. The browser's own change event is lost where the value has been set between two keys.
  const finish = (): void => {
    const words = typed;
    if (words === null) return;
    void Promise.resolve(onChange(words)).finally(() => setTyped((now) => (now === words ? null : now)));
  };
  return (
    <span class="ps-in">
      {icon && <Icon name={icon} hue="muted" />}
      <input
        type="text"
        id={id}
        {...(suggestions ? { list: listId } : kind === "search" ? { role: "searchbox" as const } : {})}
        inputMode={kind === "number" ? "decimal" : undefined}
        value={typed ?? value}
        placeholder={placeholder}
        aria-label={label}
        aria-invalid={invalid ? "true" : undefined}
        aria-describedby={describedBy}
        spellcheck={false}
        autocomplete="off"
        onInput={type}
        onBlur={finish}
        onKeyDown={(event) => event.key === "Enter" && finish()}
      />
      {suggestions && (
        <datalist id={listId}>
          {suggestions.map((one) => (
            <option key={one} value={one} />
          ))}
        </datalist>
      )}
      {unit && <span class="ps-muted ps-s">{unit}</span>}
    </span>
  );
}

export interface Option {
  value: string;
  title: string;
  /** Why it cannot be chosen now. */
  reason?: string | undefined;
}

/** The browser's own select: it works with every keyboard, reader and theme. */
export function Select({ value, options, label, describedBy, id, onChange }: { value: string; options: Option[]; label: string; describedBy?: string | undefined; id?: string | undefined; onChange: (value: string) => void }) {
  return (
    <select class="ps-select" id={id} value={value} aria-label={label} aria-describedby={describedBy} onChange={(event) => onChange((event.target as HTMLSelectElement).value)}>
      {options.map((one) => (
        <option key={one.value} value={one.value} disabled={one.reason !== undefined} title={one.reason}>
          {one.title}
        </option>
      ))}
    </select>
  );
}

/** A choice of few, side by side. */
export function Segmented({ value, options, label, onChange }: { value: string; options: Option[]; label: string; onChange: (value: string) => void }) {
  const group = useUnique(); // radios of one name are one stop of Tab, and arrows move among them
  // The click counts at once; what the kernel makes of it counts when it is told.
  const [picked, pick] = usePicked(value, onChange);
  return (
    <span class="ps-seg" role="radiogroup" aria-label={label}>
      {options.map((one) => (
        <label key={one.value}>
          <input type="radio" name={group} checked={one.value === picked} onChange={() => pick(one.value)} />
          {one.title}
        </label>
      ))}
    </span>
  );
}

/** A word in a frame, with its icon: a verdict. */
export function Badge({ hue, icon, children }: { hue: "ok" | "warn" | "error" | "info" | "muted"; icon: IconName; children: ComponentChildren }) {
  return (
    <span class={`ps-badge ps-badge-${hue}`}>
      <Icon name={icon} hue={hue} />
      {children}
    </span>
  );
}
