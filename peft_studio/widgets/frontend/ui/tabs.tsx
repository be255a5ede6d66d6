// Tabs: arrows move, the shown one alone is in the tab order. Under 720 px the shown one stands alone and a button lists all.
import { useRef } from "preact/hooks";

export interface Tab {
  name: string;
  title: string;
}

interface TabsProps {
  tabs: Tab[];
  shown: string;
  label: string;
  /** Id of what the tabs switch. */
  controls: string;
  onGo: (name: string) => void;
}

export function Tabs({ tabs, shown, label, controls, onGo }: TabsProps) {
  const list = useRef<HTMLDivElement>(null);
  const at = tabs.findIndex((tab) => tab.name === shown);
  const move = (to: number): void => {
    const next = tabs[(to + tabs.length) % tabs.length];
    if (!next) return;
    onGo(next.name);
    list.current?.querySelectorAll<HTMLButtonElement>("button")[tabs.indexOf(next)]?.focus();
  };
  const keys: Record<string, () => number> = { ArrowRight: () => at + 1, ArrowLeft: () => at - 1, Home: () => 0, End: () => tabs.length - 1 };
  return (
    <div
      class="ps-tabs"
      role="tablist"
      aria-label={label}
      ref={list}
      onKeyDown={(event) => {
        const step = keys[event.key];
        if (!step) return;
        event.preventDefault();
        move(step());
      }}
    >
      {tabs.map((tab) => (
        <button
          key={tab.name}
          type="button"
          role="tab"
          id={`${controls}-${tab.name}`}
          aria-selected={tab.name === shown}
          aria-controls={controls}
          tabIndex={tab.name === shown ? 0 : -1}
          onClick={() => onGo(tab.name)}
        >
          {tab.title}
        </button>
      ))}
    </div>
  );
}
