// Says in JupyterLab's own way that a run has ended. Only runs that this page has seen going are told, each once.
import type { JupyterFrontEnd } from "@jupyterlab/application";
import { Notification } from "@jupyterlab/apputils";
import { stateWord } from "@kit/ui/state";
import type { Follower } from "./follow";
import { showRun } from "./runs";

const TYPES: Record<string, "success" | "error" | "info"> = { completed: "success", failed: "error", lost: "error" };
const SHOWN_MS = 8_000;

export function notifyOfEnds(app: JupyterFrontEnd, follower: Follower): void {
  const going = new Set<string>();
  const watched = new Set<string>(); // named on the page, so that a run's own panel leaves the telling to us
  follower.changed.connect(() => {
    for (const { run } of follower.runs) {
      going.add(run.id);
      document.documentElement.dataset["peftStudioTells"] = [...watched.add(run.id)].join(" ");
    }
    for (const { run, link } of follower.ended) {
      if (follower.runs.some((other) => other.run.id === run.id) || !going.delete(run.id)) continue; // resumed, or told before
      const actions = [{ label: "Show", callback: () => void showRun(app, link, run) }];
      Notification.emit(`${run.name}: ${stateWord({ state: run.state })}`, TYPES[run.state] ?? "info", { autoClose: SHOWN_MS, actions });
    }
  });
}
