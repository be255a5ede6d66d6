// Which notebooks are open, and which of them the user is in. One link each.
import type { INotebookTracker, NotebookPanel } from "@jupyterlab/notebook";
import { Signal } from "@lumino/signaling";
import { type SeenRun, KernelLink } from "./link";

export class Follower {
  /** Something about a notebook, its kernel or its runs is different. */
  readonly changed = new Signal<Follower, void>(this);
  /** A notebook has a studio that had none. */
  readonly opened = new Signal<Follower, KernelLink>(this);
  private links = new Map<NotebookPanel, KernelLink>();

  constructor(private notebooks: INotebookTracker) {
    notebooks.forEach((panel) => this.add(panel));
    notebooks.widgetAdded.connect((_, panel) => this.add(panel));
    notebooks.currentChanged.connect(this.tell);
  }

  /** That of the notebook the user was in last. */
  get current(): KernelLink | null {
    const panel = this.notebooks.currentWidget;
    return panel ? this.add(panel) : null;
  }

  /** Active runs of all notebooks, each once: notebooks may share a home. */
  get runs(): { run: SeenRun; link: KernelLink }[] {
    const found = new Map<string, { run: SeenRun; link: KernelLink }>();
    const links = [...this.links.values()].sort((a, b) => Number(b === this.current) - Number(a === this.current));
    for (const link of links) for (const run of link.runs) if (!found.has(run.id)) found.set(run.id, { run, link });
    return [...found.values()];
  }

  /** Runs that have ended while a notebook of this page was watching. */
  get ended(): { run: SeenRun; link: KernelLink }[] {
    return [...this.links.values()].flatMap((link) => link.ended.map((run) => ({ run, link })));
  }

  /** The link of a notebook, as soon as it has a studio. */
  whenLive(panel: NotebookPanel): Promise<KernelLink> {
    const link = this.add(panel);
    return new Promise((resolve) => {
      const look = (): void => {
        if (link.phase !== "live") return;
        link.changed.disconnect(look);
        resolve(link);
      };
      link.changed.connect(look);
      look();
    });
  }

  private add(panel: NotebookPanel): KernelLink {
    const known = this.links.get(panel);
    if (known) return known;
    const link = new KernelLink(panel);
    this.links.set(panel, link);
    let live = false;
    link.changed.connect(() => {
      if (link.phase === "live" && !live) this.opened.emit(link);
      live = link.phase === "live";
      this.tell();
    });
    panel.disposed.connect(() => {
      this.links.delete(panel);
      this.tell();
    });
    return link;
  }

  private tell = (): void => this.changed.emit();
}
