// What a control is, or why it cannot be pressed, beside it: for whoever points at it, and for whoever comes to it by keyboard, to whom the
// browser's own `title` shows nothing. Any element with data-tip has one. It is for eyes: a reader gets the same from aria-label and
// aria-description.

const WAIT_MS = 400; // a pointer may be on its way elsewhere
const GAP_PX = 6;

const tipOf = (target: EventTarget | null): HTMLElement | null => (target instanceof Element ? target.closest<HTMLElement>("[data-tip]") : null);

/** Looks after one view of a panel; returns how to stop. */
export function showTips(view: HTMLElement): () => void {
  const bubble = document.createElement("div");
  if (!("popover" in bubble)) return () => undefined;
  bubble.className = "ps ps-tip";
  bubble.popover = "manual"; // above everything, cut off by nothing
  bubble.ariaHidden = "true";
  let timer: ReturnType<typeof setTimeout> | undefined;
  let by: HTMLElement | null = null;

  const hide = (): void => {
    clearTimeout(timer);
    by = null;
    if (bubble.matches(":popover-open")) bubble.hidePopover();
  };
  const show = (target: HTMLElement): void => {
    if (!target.isConnected || !target.dataset.tip) return;
    by = target;
    view.append(bubble); // only now: Preact's first drawing clears a box of what it finds there
    bubble.textContent = target.dataset.tip;
    bubble.showPopover();
    place(target);
  };
  const place = (target: HTMLElement): void => {
    const at = target.getBoundingClientRect();
    const { width, height } = bubble.getBoundingClientRect();
    const middle = at.left + at.width / 2 - width / 2;
    bubble.style.left = `${Math.max(GAP_PX, Math.min(middle, document.documentElement.clientWidth - width - GAP_PX))}px`;
    bubble.style.top = `${at.top - height - GAP_PX < 0 ? at.bottom + GAP_PX : at.top - height - GAP_PX}px`;
  };
  const later = (act: () => void): void => {
    clearTimeout(timer);
    timer = setTimeout(act, WAIT_MS);
  };

  const stop = new AbortController();
  const on = <Name extends keyof HTMLElementEventMap>(name: Name, act: (event: HTMLElementEventMap[Name]) => void): void =>
    view.addEventListener(name, act, { signal: stop.signal });
  on("pointerover", ({ target, pointerType }) => {
    if (pointerType === "touch") return;
    const over = tipOf(target);
    // The bubble may be pointed at, too: its words can be read at leisure.
    if (over && over !== by) later(() => show(over));
    else if (over || target === bubble) clearTimeout(timer);
    else later(hide);
  });
  on("pointerleave", () => later(hide));
  on("focusin", ({ target }) => {
    hide();
    const has = tipOf(target);
    if (has && (target as Element).matches(":focus-visible")) show(has);
  });
  on("focusout", hide);
  on("pointerdown", hide);
  on("keydown", ({ key }) => key === "Escape" && hide());
  document.addEventListener("scroll", () => by && place(by), { capture: true, passive: true, signal: stop.signal });
  return () => {
    stop.abort();
    hide();
    bubble.remove();
  };
}
