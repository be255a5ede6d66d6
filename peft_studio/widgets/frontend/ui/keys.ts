/** Keys pressed on something of ours are not the notebook's shortcuts. It asks the element that has the focus, and nobody above it. */
export function keepKeys(event: FocusEvent): void {
  if (event.target instanceof Element) event.target.setAttribute("data-lm-suppress-shortcuts", "true");
}
