// Puts the code that a panel shows into a cell of its notebook. It is text and stays text: whoever wants it run runs it.
import type { INotebookTracker, NotebookPanel } from "@jupyterlab/notebook";
import { INSERT, INSERTER } from "@kit/ui/insert";
import { insertBelow } from "./notebook";

const LONGEST = 200_000; // characters; the longest that a panel shows has half as many

/** Take what panels of this page ask for: in the notebook that holds the panel, else, for the sidebar, in the one in front. */
export function takeInsertions(notebooks: INotebookTracker): void {
  document.addEventListener(INSERT, (event) => {
    const { target, detail: code } = event as CustomEvent<unknown>;
    if (typeof code !== "string" || !code || code.length > LONGEST) return;
    let home: NotebookPanel | null = notebooks.currentWidget;
    notebooks.forEach((panel) => {
      if (panel.node.contains(target as Node)) home = panel;
    });
    if (home && insertBelow(home, code)) event.preventDefault(); // tells the panel that it is done
  });
  document.documentElement.dataset[INSERTER] = "";
}
