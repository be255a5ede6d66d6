// Puts cells into a notebook. What is run is written here: nothing that a command or an event is given reaches it.
import type { JupyterFrontEnd } from "@jupyterlab/application";
import { NotebookActions, type NotebookPanel } from "@jupyterlab/notebook";

const IMPORT = "from peft_studio import studio";
const SHOW = "studio.show()";

/** A new notebook with the studio in it, run. Null where this front end gives it a page of its own. */
export async function newStudioNotebook(app: JupyterFrontEnd): Promise<NotebookPanel | null> {
  const { kernelspecs } = app.serviceManager;
  await kernelspecs.ready;
  const { default: usual = "python3", kernelspecs: all = {} } = kernelspecs.specs ?? {};
  const kernelName = all[usual]?.language === "python" ? usual : Object.keys(all).find((name) => all[name]?.language === "python");
  const panel = (await app.commands.execute("notebook:create-new", kernelName ? { kernelName } : {})) as NotebookPanel | undefined;
  if (!panel) return null;
  await Promise.all([panel.context.ready, panel.revealed]);
  const notebook = panel.content.model?.sharedModel;
  notebook?.transact(() => {
    notebook.deleteCellRange(0, notebook.cells.length);
    notebook.insertCells(0, [IMPORT, SHOW].map(code));
  });
  await panel.sessionContext.ready;
  await NotebookActions.runAll(panel.content, panel.sessionContext);
  return panel;
}

/** A cell below the active one that shows the studio, run. */
export async function showStudioIn(panel: NotebookPanel): Promise<void> {
  if (insertBelow(panel, `${IMPORT}\n\n${SHOW}`)) await NotebookActions.run(panel.content, panel.sessionContext);
}

/** A cell below the active one, with the cursor in it. False where the notebook has not been read yet. */
export function insertBelow({ content }: NotebookPanel, source: string): boolean {
  if (!content.model) return false;
  const at = content.activeCellIndex + 1;
  content.model.sharedModel.insertCells(at, [code(source)]);
  content.deselectAll();
  content.activeCellIndex = at;
  content.mode = "edit";
  void focusActive(content, at);
  return true;
}

/** A new cell has no editor until it has been drawn. */
async function focusActive(notebook: NotebookPanel["content"], at: number): Promise<void> {
  await notebook.scrollToItem(at, "smart");
  await notebook.activeCell?.ready;
  notebook.activeCell?.editor?.focus();
}

const code = (source: string) => ({ cell_type: "code", source, metadata: { trusted: true } });
