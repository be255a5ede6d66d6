// Somebody who works by keyboard keeps their place: when what has the focus is drawn away, the nearest thing that can have it takes it, and
// when the notebook draws a view anew, the first thing there. And keys pressed on something of ours are not the notebook's shortcuts.

const CAN = ":is(a, button, input, select, textarea, summary, [tabindex]):not([tabindex='-1'])";

/** One a panel. Looks after each of its views; returns how to stop. */
export function focusKeeper(): (view: HTMLElement) => () => void {
  let path: HTMLElement[] = []; // what has the focus, or had it when it was drawn away, and what it stands in; empty when it is elsewhere
  let newest: HTMLElement;

  const settle = (view: HTMLElement): void => {
    if (!path[0] || path[0].isConnected || document.activeElement !== document.body) return;
    for (const box of [...path, view])
      for (const one of [box, ...box.querySelectorAll<HTMLElement>(CAN)]) {
        one.focus({ preventScroll: true }); // does nothing where it is not in the page, or not seen
        if (document.activeElement === one) return;
      }
  };
  return (view) => {
    newest = view;
    view.addEventListener("focusin", ({ target }) => {
      path = [];
      for (let one = target as HTMLElement; one !== view; one = one.parentElement as HTMLElement) path.push(one);
      path[0]?.setAttribute("data-lm-suppress-shortcuts", "true"); // the notebook asks the element that has the focus, and nobody above it
    });
    // What is taken out of the page loses the focus, too; only a focus that has gone elsewhere counts.
    view.addEventListener("focusout", () => setTimeout(() => path[0]?.isConnected && document.activeElement !== path[0] && (path = [])));
    const watch = new MutationObserver(() => settle(view));
    watch.observe(view, { childList: true, subtree: true });
    setTimeout(settle, 0, view);
    return () => {
      watch.disconnect();
      setTimeout(settle, 0, newest);
    };
  };
}
