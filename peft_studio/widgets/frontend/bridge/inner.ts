// Panels inside the studio: each is a module of its own, as in a cell, and talks over the studio's one model. Its messages carry its name.
import type { Bridge, Listener, Model } from "./bridge";
import type { Hooks } from "./panel";

/** The model as a panel inside sees it: only what is addressed to it. */
class InnerModel implements Model {
  readonly inside = true;
  private heard = new Map<Listener, Listener>();

  constructor(
    private outer: Model,
    private name: string,
  ) {}

  on(event: "msg:custom" | "comm_live_update", listener: Listener): void {
    if (event === "comm_live_update") return this.outer.on(event, listener);
    const mine: Listener = (message, buffers) => {
      if ((message as { panel?: string }).panel === this.name) listener({ ...(message as object), panel: undefined }, buffers);
    };
    this.heard.set(listener, mine);
    this.outer.on(event, mine);
  }

  off(event: "msg:custom" | "comm_live_update", listener: Listener): void {
    if (event === "comm_live_update") return this.outer.off(event, listener);
    const mine = this.heard.get(listener);
    if (mine) this.outer.off(event, mine);
    this.heard.delete(listener);
  }

  send(content: unknown): void {
    const one = content as { word?: string };
    // A tab that is not shown has no view, and will have one again: only the whole studio goes for good.
    this.outer.send({ ...one, ...(one.word === "gone" && { word: "hidden" }), panel: this.name });
  }
}

export interface Opened {
  hooks: Hooks;
  css: string;
}

/** A panel's front end as the kernel sends it. */
interface Source {
  panel: string;
  esm: string;
  css: string;
}

const FIRST_MS = 500; // how long a panel waits for what was asked for before it; a kernel that runs a cell may answer that when the cell ends

/** The panels opened so far. Loaded once a model, drawn in any number of views. */
export class Inner {
  private opened = new Map<string, Promise<Opened>>();
  private endings: (() => void)[] = [];

  /** The step shown, asked for before it is known which one that is: it comes with the first news instead of after it. */
  private first: Promise<Source | null>;

  constructor(private bridge: Bridge) {
    this.first = this.fetch("").catch(() => null);
  }

  open(name: string): Promise<Opened> {
    const known = this.opened.get(name);
    if (known) return known;
    const opening = this.load(name);
    this.opened.set(name, opening);
    opening.catch(() => this.opened.delete(name)); // the next click tries again
    return opening;
  }

  close(): void {
    for (const end of this.endings) end();
  }

  private async load(name: string): Promise<Opened> {
    const first = await Promise.race([this.first, new Promise<null>((resolve) => setTimeout(() => resolve(null), FIRST_MS))]);
    const { esm, css } = first?.panel === name ? first : await this.fetch(name);
    const address = URL.createObjectURL(new Blob([esm], { type: "text/javascript" }));
    try {
      const module = (await import(address)) as { default: () => Hooks };
      const hooks = module.default();
      this.endings.push(hooks.initialize({ model: new InnerModel(this.bridge.model, name) }));
      return { hooks, css };
    } finally {
      URL.revokeObjectURL(address);
    }
  }

  private fetch(panel: string): Promise<Source> {
    return this.bridge.command("load", { panel }) as Promise<Source>;
  }
}
