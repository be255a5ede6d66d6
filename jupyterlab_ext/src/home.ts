// The runs of the home, asked of the Jupyter server: with no notebook open there is no kernel to ask (widgets/_server.py answers).
import { URLExt } from "@jupyterlab/coreutils";
import { ServerConnection } from "@jupyterlab/services";
import { Signal } from "@lumino/signaling";
import type { SeenRun } from "./link";

const AGAIN_MS = 5_000;

export class HomeRuns {
  readonly changed = new Signal<HomeRuns, void>(this);
  /** Newest first; null where the server has not said, or has no part of ours. */
  runs: SeenRun[] | null = null;
  private timer: ReturnType<typeof setTimeout> | undefined;
  private watched = false;

  /** Ask now and every few seconds, or no more. */
  watch(wanted: boolean): void {
    if (wanted === this.watched) return;
    this.watched = wanted;
    clearTimeout(this.timer);
    if (wanted) void this.ask();
  }

  private async ask(): Promise<void> {
    const settings = ServerConnection.makeSettings();
    const found = await ServerConnection.makeRequest(URLExt.join(settings.baseUrl, "peft-studio", "runs"), {}, settings).then(
      (response) => (response.ok ? (response.json() as Promise<{ runs: SeenRun[] }>) : { runs: response.status === 404 ? null : this.runs }),
      () => ({ runs: this.runs }), // no connection just now: what was known stays
    );
    this.runs = found.runs;
    this.changed.emit();
    clearTimeout(this.timer); // of an earlier question, answered meanwhile
    if (this.watched) this.timer = setTimeout(() => void this.ask(), AGAIN_MS);
  }
}
