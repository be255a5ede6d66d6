// uPlot as far as our charts go: lines over an axis of numbers that runs to the right. What they never ask for (calendars, a legend of its own,
// bars, splines, steps, areas, facets, upright charts, other scales) is answered "no" in its source, and the minifiers leave it out: a third
// of its bytes. Its version is pinned, and the build fails where a piece is not found as often as is said here.
import { readFileSync } from "node:fs";

/** Piece, what stands there instead, how often. */
const PIECES = [
  [/^uPlot\.assign = assign;[^]*?(?=^export )/gm, "", 1], // what others may call: joins, dates, other kinds of paths
  ["const FEAT_TIME          = true;", "const FEAT_TIME = false;", 1],
  [/^const \[ timeIncrs.*;$/gm, "", 2],
  [/^\tconst _(?:tzDate|fmtDate|timeAxisSplits|timeAxisVals|timeSeriesVal) .*;$/gm, "", 5],
  [/\b(?:isTime|showLegend|multiValLegend|cursorFocus|cursorOnePt)\b(?! =)/g, "false", 34],
  [/\blegend\.live\b/g, "false", 7],
  [/\bmode == 1\b/g, "true", 16],
  [/\bmode == 2\b/g, "false", 16],
  [/\b(?:sx|scaleX)\.ori == 0/g, "true", 25],
  [/\bscaleX\.ori == 1/g, "false", 9],
  ["const rect = ori == 0 ? rectH : rectV;", "const rect = rectH;", 1],
  [/\b(?:sc\.|scale\.)?distr == (?:2|4|100)\b/g, "false", 19],
  ["let [ bandFillDir, bandClipDir ] = bandFillClipDirs(u, seriesIdx);", "", 3],
  ["series.fill != null || bandFillDir != 0", "false", 3],
  ["bandClipDir != 0", "false", 3],
];

/** An esbuild plugin. */
export const uplotLines = {
  name: "uplot-lines",
  setup(build) {
    build.onLoad({ filter: /uPlot\.esm\.js$/ }, ({ path }) => ({ contents: trim(readFileSync(path, "utf8")), loader: "js" }));
  },
};

function trim(source) {
  for (const [piece, instead, times] of PIECES) {
    const found = source.split(piece).length - 1;
    if (found !== times) throw new Error(`uPlot has changed: ${piece} is there ${found} times, not ${times}. See uplot-lines.mjs.`);
    source = source.replaceAll(piece, instead);
  }
  return source;
}
