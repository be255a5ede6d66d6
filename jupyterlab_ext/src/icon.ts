// The studio's icon in JupyterLab's own terms: the kit's sliders, coloured by Lab's theme.
import { LabIcon } from "@jupyterlab/ui-components";

const SLIDERS = "M2 4.5h6M11 4.5h3M2 11.5h3M8 11.5h6M8 4.5a1.5 1.5 0 1 0 3 0a1.5 1.5 0 1 0 -3 0M5 11.5a1.5 1.5 0 1 0 3 0a1.5 1.5 0 1 0 -3 0";

export const studioIcon = new LabIcon({
  name: "peft-studio:studio",
  svgstr: `<svg xmlns="http://www.w3.org/2000/svg" width="16" viewBox="0 0 16 16" fill="none" stroke-width="1.4" stroke-linecap="round" stroke-linejoin="round"><path class="jp-icon3" stroke="#616161" d="${SLIDERS}"/></svg>`,
});
