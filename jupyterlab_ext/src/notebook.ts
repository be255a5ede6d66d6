// Puts the studio into a notebook. The cells are written here: nothing that a command is given reaches them.
import type { JupyterFrontEnd } from "@jupyterlab/application";
import { NotebookActions, type NotebookPanel } from "@jupyterlab/notebook";

const IMPORT = "from peft_studio import studio";
const SHOW = "studio.show()";

/** A new notebook with the studio in it, run. */
export async function newStudioNotebook(app: JupyterFrontEnd): Promise<void> {
  const { kernelspecs } = app.serviceManager;
  await kernelspecs.ready;
  const { default: usual = "python3", kernelspecs: all = {} } = kernelspecs.specs ?? {};
  const kernelName = all[usual]?.language === "python" ? usual : Object.keys(all).find((name) => all[name]?.language === "python");
  const panel = (await app.commands.execute("notebook:create-new", kernelName ? { kernelName } : {})) as NotebookPanel | undefined;
  if (!panel) return;
  await Promise.all([panel.context.ready, panel.revealed]);
  const notebook = panel.content.model?.sharedModel;
  notebook?.transact(() => {
    notebook.deleteCellRange(0, notebook.cells.length);
    notebook.insertCells(0, [IMPORT, SHOW].map(code));
  });
  await panel.sessionContext.ready;
  await NotebookActions.runAll(panel.content, panel.sessionContext);
}

/** A cell below the active one that shows the studio, run. */
export async function showStudioIn(panel: NotebookPanel): Promise<void> {
  const { content, sessionContext } = panel;
  const at = content.activeCellIndex + 1;
  content.model?.sharedModel.insertCells(at, [code(`${IMPORT}\n\n${SHOW}`)]);
  content.activeCellIndex = at;
  await NotebookActions.run(content, sessionContext);
}

const code = (source: string) => ({ cell_type: "code", source, metadata: { trusted: true } });
