// Tells the kernel whether anybody can see the panel: what is out of sight need not be read, sent and drawn ten times a second.

export type SightWord = "seen" | "hidden" | "gone";

const LEAVING_MS = 300; // who scrolls past is back soon; what comes into sight is told at once

export class Sight {
  private views = new Map<Element, boolean>();
  private said: SightWord | undefined;
  private leaving: ReturnType<typeof setTimeout> | undefined;

  constructor(private say: (word: SightWord) => void) {
    document.addEventListener("visibilitychange", this.tell);
    window.addEventListener("focus", this.repeat);
  }

  /** Watch a view of the panel. Returns how to stop, when the view goes. */
  watch(el: Element): () => void {
    const observer = new IntersectionObserver((news) => {
      this.views.set(el, news.some((one) => one.isIntersecting));
      this.tell();
    });
    observer.observe(el);
    return () => {
      observer.disconnect();
      this.views.delete(el);
      this.tell();
    };
  }

  close(): void {
    clearTimeout(this.leaving);
    document.removeEventListener("visibilitychange", this.tell);
    window.removeEventListener("focus", this.repeat);
  }

  private get word(): SightWord {
    if (!this.views.size) return "gone";
    return !document.hidden && [...this.views.values()].some(Boolean) ? "seen" : "hidden";
  }

  private tell = (): void => {
    clearTimeout(this.leaving);
    if (this.word === "seen") this.speak();
    else this.leaving = setTimeout(this.speak, LEAVING_MS);
  };

  private speak = (): void => {
    if (this.word !== this.said) this.say((this.said = this.word));
  };

  /** Another page on the same kernel may have said something else meanwhile. */
  private repeat = (): void => {
    if (this.said) this.say((this.said = this.word));
  };
}
