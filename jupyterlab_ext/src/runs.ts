// Runs outside the studio: asked for by name, and stopped. Stopping is always asked in a dialog; what a program passes along is not read.
import type { JupyterFrontEnd } from "@jupyterlab/application";
import { Dialog, InputDialog, showDialog, showErrorMessage } from "@jupyterlab/apputils";
import { CommandError } from "@kit/bridge/bridge";
import { stateWord } from "@kit/ui/state";
import type { Follower } from "./follow";
import type { SeenRun, KernelLink } from "./link";
import { newStudioNotebook } from "./notebook";

/** `54 %` while it trains; else null. */
export function shareOf({ active, step, total_steps }: SeenRun): string | null {
  return active && step !== null && total_steps ? `${Math.floor((100 * step) / total_steps)} %` : null;
}

/** `Training, 54 %`. */
export function standingOf(run: SeenRun): string {
  return [stateWord({ state: run.state }), shareOf(run)].filter(Boolean).join(", ");
}

/** Show a run in the studio of its notebook, and the sidebar with it. */
export async function showRun(app: JupyterFrontEnd, link: KernelLink, run: SeenRun): Promise<void> {
  app.shell.activateById(link.panel.id);
  app.shell.activateById("peft-studio-sidebar");
  await tried("The run could not be shown", link.command("show_run", { run_id: run.id }));
}

/** Show a run where no notebook is open: in a new one, of the same home. */
export async function openRun(app: JupyterFrontEnd, follower: Follower, run: SeenRun): Promise<void> {
  const panel = await newStudioNotebook(app);
  if (panel) await showRun(app, await follower.whenLive(panel), run);
}

/** Let the user choose among the newest runs of the active notebook's home. */
export async function chooseRun(app: JupyterFrontEnd, follower: Follower): Promise<void> {
  const link = follower.current;
  if (link?.phase !== "live") return;
  const runs = (await tried("The runs could not be listed", link.command("list_runs"))) as SeenRun[] | null;
  if (!runs) return;
  if (!runs.length) return showErrorMessage("Show a run", "There are no runs yet.");
  const chosen = await pick("Show a run", "Show", runs);
  if (chosen) await showRun(app, link, chosen);
}

/** Let the user choose an active run, and ask how it is to end. */
export async function chooseStop(follower: Follower): Promise<void> {
  const runs = follower.runs;
  if (!runs.length) return showErrorMessage("Stop a run", "No run is active in the open notebooks.");
  const chosen = runs.length === 1 ? runs[0]!.run : await pick("Stop a run", "Choose", runs.map(({ run }) => run));
  const found = runs.find(({ run }) => run.id === chosen?.id);
  if (found) await askStop([found]);
}

/** Ask, and stop what was asked about. Focus starts on Cancel. */
export async function askStop(found: { run: SeenRun; link: KernelLink }[]): Promise<void> {
  const what = found.length === 1 ? found[0]!.run.name : `${found.length} runs`;
  const { button } = await showDialog({
    title: `Stop ${what}?`,
    body: "Stop and save ends after the current step and keeps what was learned as an adapter. Stop ends at once and keeps the checkpoints. Either can be resumed.",
    buttons: [Dialog.cancelButton(), Dialog.warnButton({ label: "Stop" }), Dialog.okButton({ label: "Stop and save" })],
    defaultButton: 0,
  });
  if (!button.accept) return;
  const save = button.label === "Stop and save";
  await Promise.all(found.map(({ run, link }) => tried(`${run.name} could not be stopped`, link.command("stop_run", { run_id: run.id, save }))));
}

async function pick(title: string, okLabel: string, runs: SeenRun[]): Promise<SeenRun | undefined> {
  const items = runs.map((run) => `${run.name} · ${standingOf(run)} · ${run.id}`);
  const { value } = await InputDialog.getItem({ title, label: "Run", items, okLabel });
  return runs[items.indexOf(value ?? "")];
}

/** The answer, or null after the user has read why there is none. */
async function tried(what: string, work: Promise<unknown>): Promise<unknown> {
  try {
    return await work;
  } catch (error) {
    const said = error instanceof CommandError ? `${error.problem.message} ${error.problem.hint}` : String(error);
    await showErrorMessage(what, said);
    return null;
  }
}
