// The plugin: wires sidebar, commands, status bar and Running panel to JupyterLab. In Notebook 7 what its shell lacks is left out.
import { type ILayoutRestorer as Restorer, type JupyterFrontEnd, type JupyterFrontEndPlugin, ILayoutRestorer } from "@jupyterlab/application";
import { ICommandPalette } from "@jupyterlab/apputils";
import { ILauncher } from "@jupyterlab/launcher";
import { INotebookTracker } from "@jupyterlab/notebook";
import { IRunningSessionManagers } from "@jupyterlab/running";
import { ISettingRegistry } from "@jupyterlab/settingregistry";
import { IStatusBar } from "@jupyterlab/statusbar";
import kit from "@kit/ui/kit.css";
import tokens from "@kit/ui/tokens.css";
import { addCommands } from "./commands";
import { Follower } from "./follow";
import { takeInsertions } from "./insert";
import { notifyOfEnds } from "./notify";
import { openRun, showRun } from "./runs";
import { Sidebar } from "./sidebar";
import { addRunningSection, addStatusItem } from "./status";
import own from "./style.css";

const ID = "peft-studio:plugin";

const plugin: JupyterFrontEndPlugin = {
  id: ID,
  description: "The studio of the active notebook as a sidebar; active runs in status bar and Running panel.",
  autoStart: true,
  requires: [],
  optional: [INotebookTracker, ILayoutRestorer, ICommandPalette, ILauncher, IStatusBar, IRunningSessionManagers, ISettingRegistry],
  activate,
};

function activate(
  app: JupyterFrontEnd,
  notebooks: INotebookTracker | null,
  restorer: Restorer | null,
  palette: ICommandPalette | null,
  launcher: ILauncher | null,
  bar: IStatusBar | null,
  running: IRunningSessionManagers | null,
  registry: ISettingRegistry | null,
): void {
  if (!notebooks) return; // Notebook 7's list of files, its editor, its terminal
  const style = document.createElement("style");
  style.textContent = tokens + kit + own;
  document.head.append(style);

  const settings: Record<string, unknown> = { openWithStudio: false, statusBar: true };
  const follower = new Follower(notebooks);
  const { NEW, HERE } = addCommands(app, follower, palette, launcher);
  const sidebar = new Sidebar(follower, {
    newNotebook: () => void app.commands.execute(NEW),
    showHere: () => void app.commands.execute(HERE),
    showRun: (run, link) => void (link ? showRun(app, link, run) : openRun(app, follower, run)),
  });
  app.shell.add(sidebar, "left", { rank: 300 });
  restorer?.add(sidebar, sidebar.id);
  follower.opened.connect((_, link) => {
    if (settings["openWithStudio"] && link === follower.current) app.shell.activateById(sidebar.id);
  });
  const redraw = bar ? addStatusItem(app, bar, follower, () => settings["statusBar"] === true) : () => undefined;
  notifyOfEnds(app, follower);
  takeInsertions(notebooks);
  if (running) addRunningSection(app, running, follower);
  void registry?.load(ID).then((loaded) => {
    const read = (): void => {
      Object.assign(settings, loaded.composite);
      redraw();
    };
    loaded.changed.connect(read);
    read();
  });
}

export default plugin;
