// The commands, in palette and launcher. Any notebook can fire any command with any arguments, so none of these reads what it is given; what
// stops a run asks first.
import type { JupyterFrontEnd } from "@jupyterlab/application";
import type { ICommandPalette } from "@jupyterlab/apputils";
import type { ILauncher } from "@jupyterlab/launcher";
import type { Follower } from "./follow";
import { studioIcon } from "./icon";
import { newStudioNotebook, showStudioIn } from "./notebook";
import { chooseRun, chooseStop } from "./runs";

const CATEGORY = "PEFT Studio";
const OPEN = "peft-studio:open";
const HERE = "peft-studio:show-here";
const NEW = "peft-studio:new-notebook";
const SHOW_RUN = "peft-studio:show-run";
const STOP_RUN = "peft-studio:stop-run";

export function addCommands(app: JupyterFrontEnd, follower: Follower, palette: ICommandPalette | null, launcher: ILauncher | null): { NEW: string; HERE: string } {
  const { commands, shell } = app;
  commands.addCommand(OPEN, { label: "Open the Studio Sidebar", icon: studioIcon, execute: () => shell.activateById("peft-studio-sidebar") });
  commands.addCommand(HERE, {
    label: "Show the Studio in This Notebook",
    isEnabled: () => follower.current !== null,
    execute: () => follower.current && showStudioIn(follower.current.panel),
  });
  commands.addCommand(SHOW_RUN, { label: "Show Run…", isEnabled: () => follower.current?.phase === "live", execute: () => chooseRun(app, follower) });
  commands.addCommand(STOP_RUN, { label: "Stop Run…", isEnabled: () => follower.runs.length > 0, execute: () => chooseStop(follower) });
  commands.addCommand(NEW, {
    label: (args) => (args["isLauncher"] ? "Studio Notebook" : "New Studio Notebook"), // only how it reads
    caption: "A new notebook with PEFT Studio in it",
    icon: studioIcon,
    execute: () => newStudioNotebook(app),
  });
  follower.changed.connect(() => {
    for (const command of [HERE, SHOW_RUN, STOP_RUN]) commands.notifyCommandChanged(command);
  });
  for (const command of [OPEN, HERE, NEW, SHOW_RUN, STOP_RUN]) palette?.addItem({ command, category: CATEGORY });
  if (commands.hasCommand("notebook:create-new")) launcher?.add({ command: NEW, category: "Other", rank: 0, args: { isLauncher: true } });
  return { NEW, HERE };
}
