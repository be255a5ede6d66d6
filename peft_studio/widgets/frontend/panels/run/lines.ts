// From the curve's buckets and the evaluations to the lines that are drawn. Pure.
import type { Points } from "../../bridge/points";
import type { Axis } from "../../ui/axis";

export type Values = (number | null | undefined)[];

export interface Lines {
  x: number[];
  raw: Values;
  smooth: Values;
  evaluation: Values;
  learningRate: Values;
  gradNorm: Values;
  /** Of other runs, smoothed. */
  others: Values[];
}

/** A line with places of its own. */
export interface Line {
  x: number[];
  values: Values;
}

const orGap = (value: number | undefined): number | null => (value === undefined || Number.isNaN(value) ? null : value);

/** Debiased moving average at each bucket, as if every row it stands for had been averaged; null where there is no loss. */
export function smoothed(points: Points, weight: number): (number | null)[] {
  const [mean, count] = [points.column("mean"), points.column("count")];
  let total = 0;
  let share = 0;
  return mean.map((value, at) => {
    if (Number.isNaN(value)) return null;
    const keep = weight ** (count[at] ?? 1);
    total = total * keep + value * (1 - keep);
    share = share * keep + (1 - keep);
    return total / share;
  });
}

/** How much to smooth when nobody has said: little for few rows. */
export function defaultSmoothing(points: Points): number {
  const rows = points.column("count").reduce((sum, count) => sum + count, 0);
  return rows < 30 ? 0.5 : rows < 200 ? 0.8 : rows < 1000 ? 0.9 : 0.95;
}

export function buildLines(points: Points, evaluations: [number, number | null][], axis: Axis, smooth: (number | null)[]): Lines {
  const lines: Lines = { x: [], raw: [], smooth: [], evaluation: [], learningRate: [], gradNorm: [], others: [] };
  const [step, along] = [points.column("step"), points.column(axis)];
  const [low, high, mean, count] = ["low", "high", "mean", "count"].map((name) => points.column(name)) as [number[], number[], number[], number[]];
  let waiting = 0;
  const evaluationAt = (until: number): number | undefined => {
    // Evaluations belong to the first bucket that reaches their step.
    let value: number | undefined;
    for (let one = evaluations[waiting]; one && one[0] <= until; one = evaluations[++waiting]) value = one[1] ?? value;
    return value;
  };
  for (let at = 0; at < points.length; at++) {
    const joined = (count[at] ?? 1) > 1;
    lines.x.push(along[at] ?? 0);
    lines.raw.push(orGap(joined ? low[at] : mean[at]));
    lines.smooth.push(smooth[at] ?? null);
    lines.evaluation.push(evaluationAt(step[at] ?? 0));
    lines.learningRate.push(orGap(points.column("learning_rate")[at]));
    lines.gradNorm.push(orGap(points.column("grad_norm")[at]));
    if (joined) {
      lines.x.push(along[at] ?? 0);
        lines.raw.push(orGap(high[at]));
      for (const other of [lines.smooth, lines.evaluation, lines.learningRate, lines.gradNorm]) other.push(undefined);
    }
  }
  const last = evaluationAt(Infinity);
  if (last !== undefined) {
    // An evaluation of a step that logged no loss, at the end.
    lines.x.push(axis === "step" ? (evaluations[evaluations.length - 1]?.[0] ?? 0) : (along[points.length - 1] ?? 0));
    for (const other of [lines.raw, lines.smooth, lines.learningRate, lines.gradNorm]) other.push(undefined);
    lines.evaluation.push(last);
  }
  return lines;
}

/** The same lines with others among them, all along one x: of a place that is another line's, each says nothing. */
export function layOver(lines: Lines, others: Line[]): Lines {
  if (!others.length) return lines;
  const places = [lines, ...others].flatMap(({ x }, line) => x.map((at, index) => ({ at, line, index }))).sort((one, other) => one.at - other.at);
  const spread = (values: Values, of: number): Values => places.map(({ line, index }) => (line === of ? values[index] : undefined));
  const own = (name: "raw" | "smooth" | "evaluation" | "learningRate" | "gradNorm"): Values => spread(lines[name], 0);
  return {
    x: places.map(({ at }) => at),
    raw: own("raw"),
    smooth: own("smooth"),
    evaluation: own("evaluation"),
    learningRate: own("learningRate"),
    gradNorm: own("gradNorm"),
    others: others.map(({ values }, at) => spread(values, at + 1)),
  };
}
