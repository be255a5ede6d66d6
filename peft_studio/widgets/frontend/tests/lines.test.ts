// From buckets to lines.
import assert from "node:assert/strict";
import { test } from "node:test";
import { Points } from "../bridge/points";
import { buildLines, layOver, smoothed } from "../panels/run/lines";
import { placeAt } from "../ui/axis";

const COLUMNS = ["step", "time_s", "tokens", "low", "high", "mean", "count", "learning_rate", "grad_norm"];

/** Points as the kernel sends them: rows of the columns above. */
function points(rows: number[][], start = 0, into = new Points()): Points {
  const block = new DataView(new ArrayBuffer(rows.length * COLUMNS.length * 8));
  COLUMNS.forEach((_, column) => rows.forEach((row, at) => block.setFloat64((column * rows.length + at) * 8, row[column] ?? NaN, true)));
  into.take({ start, columns: COLUMNS }, block);
  return into;
}

const row = (step: number, loss: number): number[] => [step, step * 2, step * 10, loss, loss, loss, 1, 1e-4, 0.5];

test("a later chunk replaces what it starts at and grows the rest", () => {
  const kept = points([row(1, 5), row(2, 4)]);
  points([row(2, 3), row(3, 2)], 1, kept);
  assert.deepEqual(kept.column("step"), [1, 2, 3]);
  assert.deepEqual(kept.column("mean"), [5, 3, 2]);
  assert.equal(kept.length, 3);
});

test("a joined bucket is drawn from its lowest to its highest, and smoothed as its rows", () => {
  const lines = buildLines(points([[4, 8, 40, 1, 3, 2, 4, 1e-4, 0.5]]), [], "step", [2]);
  assert.deepEqual(lines.x, [4, 4]);
  assert.deepEqual(lines.raw, [1, 3]);
  assert.deepEqual(lines.smooth, [2, undefined]);
});

test("a loss that is no number is a gap, and smoothing goes on behind it", () => {
  const data = points([row(1, 2), row(2, NaN), row(3, 2)]);
  assert.deepEqual(buildLines(data, [], "step", smoothed(data, 0.9)).raw, [2, null, 2]);
  assert.deepEqual(
    smoothed(data, 0.9).map((value) => value && Number(value.toFixed(6))),
    [2, null, 2],
  );
});

test("evaluations stand at the bucket that reaches their step, and one past the end has its own place", () => {
  const data = points([row(10, 2), row(20, 1)]);
  const lines = buildLines(data, [[20, 1.5], [25, 1.4]], "step", smoothed(data, 0));
  assert.deepEqual(lines.x, [10, 20, 25]);
  assert.deepEqual(lines.evaluation, [undefined, 1.5, 1.4]);
  assert.deepEqual(lines.raw, [2, 1, undefined]);
});

test("without smoothing the line is what was logged", () => {
  assert.deepEqual(smoothed(points([row(1, 3), row(2, 1)]), 0), [3, 1]);
});

test("other runs are drawn along one x, each at its own places, and read where they are", () => {
  const data = points([row(10, 2), row(20, 1)]);
  const lines = layOver(buildLines(data, [], "step", [2, 1]), [{ x: [5, 20, 40], values: [4, 3, 2] }]);
  assert.deepEqual(lines.x, [5, 10, 20, 20, 40]);
  assert.deepEqual(lines.smooth, [undefined, 2, 1, undefined, undefined]);
  assert.deepEqual(lines.others, [[4, undefined, undefined, 3, 2]]);
  assert.deepEqual([4, 5, 19, 20, 40, 41].map((at) => placeAt([5, 20, 40], at)), [-1, 0, 0, 1, 2, -1]);
});
