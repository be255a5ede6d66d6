// One more view of a notebook's widget model, drawn by that notebook's rendermime.
import type { Problem } from "@kit/bridge/bridge";
import type { NotebookPanel } from "@jupyterlab/notebook";
import { Panel, type Widget } from "@lumino/widgets";

const WIDGET = "application/vnd.jupyter.widget-view+json";
const PATIENCE_MS = 2_000;
const MOST_TRIES = 15;

export class StudioView extends Panel {
  problem: Problem | null = null;
  private drawn: Widget | null = null;
  private again: ReturnType<typeof setTimeout> | undefined;

  constructor(
    readonly notebook: NotebookPanel,
    readonly modelId: string,
    private failed: () => void,
  ) {
    super();
    this.addClass("ps-side-view");
    void this.draw(1);
  }

  override dispose(): void {
    clearTimeout(this.again);
    super.dispose();
  }

  /** A notebook's widget manager is bound to its renderers a while after the notebook is there. A view asked for before that would say
   *  "Loading widget…" for ever, so one that shows nothing of ours is drawn anew. */
  private async draw(attempt: number): Promise<void> {
    this.drawn?.dispose();
    this.drawn = null;
    const { rendermime } = this.notebook.content;
    if (rendermime.mimeTypes.includes(WIDGET)) {
      const renderer = rendermime.createRenderer(WIDGET);
      this.drawn = renderer;
      this.addWidget(renderer);
      const data = { [WIDGET]: { version_major: 2, version_minor: 0, model_id: this.modelId } };
      await renderer.renderModel(rendermime.createModel({ data, trusted: true }));
    }
    if (this.isDisposed) return;
    this.again = setTimeout(() => this.look(attempt), PATIENCE_MS);
  }

  private look(attempt: number): void {
    if (this.node.querySelector(".ps")) return;
    if (attempt < MOST_TRIES) return void this.draw(attempt + 1);
    this.problem = { message: "The studio could not be drawn here.", hint: "Its widget manager does not answer. Reload the page; is jupyterlab_widgets installed?" };
    this.failed();
  }
}
