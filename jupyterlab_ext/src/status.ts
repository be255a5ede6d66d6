// Active runs where JupyterLab shows what goes on: its status bar and its Running panel.
import type { JupyterFrontEnd } from "@jupyterlab/application";
import type { IRunningSessionManagers } from "@jupyterlab/running";
import type { IStatusBar } from "@jupyterlab/statusbar";
import { Signal } from "@lumino/signaling";
import { Widget } from "@lumino/widgets";
import type { Follower } from "./follow";
import { studioIcon } from "./icon";
import { askStop, shareOf, showRun, standingOf } from "./runs";

/** The first active run and its progress; a click shows it. */
export function addStatusItem(app: JupyterFrontEnd, bar: IStatusBar, follower: Follower, wanted: () => boolean): () => void {
  const button = document.createElement("button");
  button.type = "button";
  button.addEventListener("click", () => {
    const first = follower.runs[0];
    if (first) void showRun(app, first.link, first.run);
  });
  const item = new Widget();
  item.addClass("ps-side-status");
  item.node.append(button);
  const changed = new Signal<object, void>(item);
  const update = (): void => {
    const [first, ...others] = follower.runs;
    button.textContent = first ? `${first.run.name}: ${standingOf(first.run)}` + (others.length ? `, and ${others.length} more` : "") : "";
    button.title = "Show the run in PEFT Studio";
    changed.emit();
  };
  follower.changed.connect(update);
  bar.registerStatusItem("peft-studio:runs", { item, align: "left", rank: 900, isActive: () => wanted() && follower.runs.length > 0, activeStateChanged: changed });
  return update;
}

/** A section of the Running panel. Lab's own question before "stop all" may be skipped by a program; ours is asked in any case. */
export function addRunningSection(app: JupyterFrontEnd, running: IRunningSessionManagers, follower: Follower): void {
  running.add({
    name: "Training runs",
    supportsMultipleViews: false,
    running: () =>
      follower.runs.map(({ run, link }) => ({
        open: () => void showRun(app, link, run),
        shutdown: () => void askStop([{ run, link }]),
        icon: () => studioIcon,
        label: () => run.name,
        labelTitle: () => `${run.name}: ${standingOf(run)}\n${run.model}\n${run.id}`,
        detail: () => shareOf(run) ?? standingOf(run), // there is room for little
      })),
    shutdownAll: () => void askStop(follower.runs),
    refreshRunning: () => undefined,
    runningChanged: follower.changed,
    shutdownLabel: "Stop…",
    shutdownAllLabel: "Stop all…",
    shutdownAllConfirmationText: "Stop all active training runs?",
  });
}
