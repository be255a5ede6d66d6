// How components see the bridge: they ask for it, and are drawn again when it has news.
import { createContext } from "preact";
import { useContext, useEffect, useLayoutEffect, useReducer, useState } from "preact/hooks";
import { type Bridge, CommandError, type Problem, TAKEN_BACK } from "./bridge";

export const BridgeContext = createContext<Bridge | null>(null);

/** The bridge of this panel; the component is drawn again after every change. */
export function useBridge(): Bridge {
  const bridge = useContext(BridgeContext);
  if (!bridge) throw new Error("a component of a panel was drawn outside of one");
  const [, draw] = useReducer((count: number, _: void) => count + 1, 0);
  // At once, not after the paint: an update that came in between would be drawn only with the next one.
  useLayoutEffect(() => bridge.subscribe(() => draw()), [bridge]);
  return bridge;
}

/** Now, in milliseconds, drawn again every second while `ticking`. */
export function useNow(ticking: boolean): number {
  const [now, setNow] = useState(Date.now());
  useEffect(() => {
    if (!ticking) return;
    const timer = setInterval(() => setNow(Date.now()), 1000);
    return () => clearInterval(timer);
  }, [ticking]);
  return Math.max(now, Date.now());
}

/** Commands with their last problem, to be shown where the click was made. */
export function useCommands(): { run: (name: string, args?: Record<string, unknown>) => Promise<unknown>; problem: Problem | null; dismiss: () => void } {
  const bridge = useBridge();
  const [problem, setProblem] = useState<Problem | null>(null);
  const run = async (name: string, args: Record<string, unknown> = {}): Promise<unknown> => {
    setProblem(null);
    try {
      return await bridge.command(name, args);
    } catch (error) {
      if (!(error instanceof CommandError)) throw error;
      if (error.problem !== TAKEN_BACK) setProblem(error.problem);
      return null;
    }
  };
  return { run, problem, dismiss: () => setProblem(null) };
}

/** State of this page that the kernel need not know. Kept with the panel, so that it outlives being drawn anew. */
export function useLocal<T>(name: string, first: T): [T, (value: T) => void] {
  const bridge = useBridge();
  const value = name in bridge.local ? (bridge.local[name] as T) : first;
  return [
    value,
    (next) => {
      bridge.local[name] = next;
      bridge.changed();
    },
  ];
}

/** A value that a click changes at once, until the kernel tells of another. What was picked is dropped while that other value is
 * drawn: an effect would run after the paint and take back a click made in between. */
export function usePicked<T>(value: T, onPick: (next: T) => void): [T, (next: T) => void] {
  const [picked, setPicked] = useState({ over: value, next: value });
  const now = picked.over === value ? picked : { over: value, next: value };
  if (now !== picked) setPicked(now);
  const pick = (next: T): void => {
    setPicked({ over: value, next });
    onPick(next);
  };
  return [now.next, pick];
}

/** An id that no other panel of the page has: each panel is a module and a tree of its own, so counting would give them the same ones. */
export function useUnique(): string {
  return useState(() => `ps-${Math.random().toString(36).slice(2)}`)[0];
}
