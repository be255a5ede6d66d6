// Python that does the same as the panel, to copy, or to have as a cell.
import type { ComponentChildren } from "preact";
import { useRef, useState } from "preact/hooks";
import { Button, CopyButton, Said } from "./button";
import { canInsert, insertCell } from "./insert";

export function Code({ text, label, children }: { text: string; label: string; children?: ComponentChildren }) {
  const code = useRef<HTMLPreElement>(null);
  const [said, setSaid] = useState("");
  const insert = (): void => setSaid(insertCell(code.current!, text) ? "Inserted, not run" : "Found no notebook for it");
  return (
    <div class="ps-code">
      <pre ref={code} tabIndex={0} aria-label={label}>
        {text}
      </pre>
      <CopyButton text={text} />
      {canInsert() && (
        <Button icon="insert" small onPress={insert}>
          {said || "Insert as cell"}
        </Button>
      )}
      <Said words={said} />
      {children}
    </div>
  );
}
