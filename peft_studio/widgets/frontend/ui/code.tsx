// Python that does the same as the panel, to copy.
import type { ComponentChildren } from "preact";
import { CopyButton } from "./button";

export function Code({ text, label, children }: { text: string; label: string; children?: ComponentChildren }) {
  return (
    <div class="ps-code">
      <pre tabIndex={0} aria-label={label}>
        {text}
      </pre>
      <CopyButton text={text} />
      {children}
    </div>
  );
}
