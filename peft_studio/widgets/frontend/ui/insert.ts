// Code on its way into a cell. The page's JupyterLab extension takes it (jupyterlab_ext/src/insert.ts); where there is none, nothing is offered.

export const INSERT = "peft-studio:insert";

/** Set on the document's root by who inserts. */
export const INSERTER = "peftStudioInserter";

export const canInsert = (): boolean => INSERTER in document.documentElement.dataset;

/** Ask for a new cell with this code in the notebook that `from` belongs to; true when there is one now. */
export function insertCell(from: Element, code: string): boolean {
  return !from.dispatchEvent(new CustomEvent(INSERT, { bubbles: true, cancelable: true, detail: code }));
}
