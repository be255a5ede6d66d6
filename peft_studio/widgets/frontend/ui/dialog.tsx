// A question before something that cannot be taken back. Its title names the object, its facts say what happens, its button repeats the verb.
// Focus starts on Cancel; Esc cancels. Native, so that it stands above the notebook and keeps the focus inside.
import type { ComponentChildren } from "preact";
import { useLayoutEffect, useRef } from "preact/hooks";
import { useUnique } from "../bridge/hooks";
import { Button } from "./button";

interface DialogProps {
  title: string;
  facts: [name: string, what: ComponentChildren][];
  verb: string;
  danger?: boolean;
  /** Why it cannot be confirmed as it stands. */
  reason?: string | undefined;
  /** What has to be read before the facts. */
  lead?: ComponentChildren;
  /** Below the facts. */
  children?: ComponentChildren;
  onConfirm: () => void;
  onClose: () => void;
}

export function Dialog({ title, facts, verb, danger, reason, lead, children, onConfirm, onClose }: DialogProps) {
  const box = useRef<HTMLDialogElement>(null);
  const id = useUnique();
  // Before it is drawn away, not after the paint: a key pressed in between would go to whatever the browser put the focus on.
  useLayoutEffect(() => {
    const before = document.activeElement;
    const shown = box.current!;
    shown.showModal();
    shown.querySelector<HTMLButtonElement>("footer button")?.focus();
    return () => {
      shown.close(); // nothing behind an open one takes the focus
      if (before instanceof HTMLElement && before.isConnected) before.focus();
    };
  }, []);
  const confirm = (): void => {
    onClose();
    onConfirm();
  };
  return (
    <dialog class="ps-dialog" ref={box} aria-labelledby={id} onClose={({ currentTarget }) => currentTarget.isConnected && onClose()} onCancel={onClose}>
      <h2 id={id} dir="auto">
        {title}
      </h2>
      {lead}
      <dl>
        {facts.map(([name, what]) => (
          <div key={name}>
            <dt>{name}</dt>
            <dd dir="auto">{what}</dd>
          </div>
        ))}
      </dl>
      {children}
      <footer>
        <Button onPress={onClose}>Cancel</Button>
        <Button kind={danger ? "danger" : "primary"} reason={reason} onPress={confirm}>
          {verb}
        </Button>
      </footer>
    </dialog>
  );
}
