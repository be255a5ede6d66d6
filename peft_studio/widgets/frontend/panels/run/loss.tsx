// The curve: raw and smoothed training loss with evaluations, learning rate and gradient norm under it, one crosshair for all.
import type { ComponentChildren } from "preact";
import { useMemo, useState } from "preact/hooks";
import { useLocal, useUnique } from "../../bridge/hooks";
import type { Points } from "../../bridge/points";
import { Button } from "../../ui/button";
import { Chart } from "../../ui/chart";
import * as format from "../../ui/format";
import { Swatch } from "../../ui/swatch";
import { type Axis, buildLines, defaultSmoothing, type Lines, smoothed } from "./lines";
import type { RunView } from "./view";

const AXES: [Axis, string][] = [["step", "Step"], ["tokens", "Tokens"], ["time_s", "Time"]];
const FORMAT_X = { step: (value: number) => format.count(value), tokens: format.large, time_s: (value: number) => format.duration(value) };

const SECONDS = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14_400, 43_200, 86_400, 172_800, 604_800];

/** Heights by the panel's width (look.md section 4). */
const heightFor = (width: number): number => (width < 420 ? 180 : width < 720 ? 200 : width < 1000 ? 236 : 300);

export function LossSection({ view, points, width }: { view: RunView; points: Points; width: number }) {
  const [axis, setAxis] = useLocal<Axis>("axis", "step");
  const [chosen, setChosen] = useLocal<number | null>("smoothing", null);
  const [log, setLog] = useLocal("log", false);
  const [table, setTable] = useLocal("table", false);
  const [cursor, setCursor] = useState<number | null>(null);
  const group = useUnique();
  const weight = chosen ?? defaultSmoothing(points);
  const smooth = useMemo(() => smoothed(points, weight), [points.version, weight]);
  const lines = useMemo(() => buildLines(points, view.evaluations, axis, smooth), [points.version, view.evaluations, axis, smooth]);
  const empty = points.length === 0;
  const shared = { x: lines.x, formatX: FORMAT_X[axis], incrementsX: axis === "time_s" ? SECONDS : undefined, group, onCursor: setCursor, xEnd: endOf(view, axis, lines) };
  return (
    <div class="ps-sec">
      <header>
        <h3>Loss</h3>
        <AxisSwitch axis={axis} setAxis={setAxis} points={points} name={group} />
        <label class="ps-check ps-hide-s">
          Smoothing
          <input type="range" min="0" max="0.99" step="0.01" value={weight} aria-valuetext={weight.toFixed(2)} onInput={(event) => setChosen(Number(event.currentTarget.value))} />
          <span class="ps-fixed">{weight.toFixed(2)}</span>
        </label>
        <label class="ps-check">
          <input type="checkbox" checked={log} onChange={() => setLog(!log)} />
          Log axis
        </label>
      </header>
      {empty ? (
        <p class="ps-chart-empty" style={{ height: `${heightFor(width)}px` }}>
          {view.head.live ? "The curve starts with the first training step." : "This run ended before its first training step."}
        </p>
      ) : (
        <>
          <Legend lines={lines} smooth={smooth} points={points} cursor={cursor} axis={axis} live={view.head.live}>
            <Button small kind="quiet" expanded={table} onPress={() => setTable(!table)}>
              Table
            </Button>
          </Legend>
          <Chart
            {...shared}
            label={sentence(view, points, smooth)}
            height={heightFor(width)}
            log={log}
            formatY={format.tick}
            bands={axis === "step" ? view.warnings.map((warning) => warning.step) : []}
            marks={axis === "step" && width >= 420 ? epochMarks(view) : []}
            series={[
              { values: lines.raw, color: "var(--ps-s1)", width: 1, opacity: 0.32 },
              { values: lines.smooth, color: "var(--ps-s1)" },
              { values: lines.evaluation, color: "var(--ps-s2)", dash: [6, 3], points: true },
            ]}
          />
          <div class="ps-pair">
            <SmallChart {...shared} name="Learning rate" values={lines.learningRate} color="var(--ps-s3)" now={format.exponent} formatY={format.exponent} />
            <SmallChart {...shared} name="Gradient norm" values={lines.gradNorm} color="var(--ps-s4)" now={format.rate} formatY={format.tick} />
          </div>
          {table && <LossTable points={points} smooth={smooth} evaluations={view.evaluations} />}
        </>
      )}
    </div>
  );
}

function AxisSwitch({ axis, setAxis, points, name }: { axis: Axis; setAxis: (axis: Axis) => void; points: Points; name: string }) {
  const known = (one: Axis): boolean => !points.column(one).some(Number.isNaN);
  return (
    <div class="ps-seg ps-end" role="radiogroup" aria-label="Horizontal axis">
      {AXES.filter(([one]) => known(one)).map(([one, word]) => (
        <label key={one}>
          <input type="radio" name={`axis${name}`} checked={axis === one} onChange={() => setAxis(one)} />
          {word}
        </label>
      ))}
    </div>
  );
}

interface LegendProps {
  lines: Lines;
  smooth: (number | null)[];
  points: Points;
  cursor: number | null;
  axis: Axis;
  live: boolean;
  children: ComponentChildren;
}

/** Names of the lines with their values at the crosshair, or now. */
function Legend({ lines, smooth, points, cursor, axis, live, children }: LegendProps) {
  const bucket = cursor === null ? points.length - 1 : (lines.bucket[cursor] ?? -1);
  const before = lines.evaluation.slice(0, cursor === null ? undefined : cursor + 1).filter((value) => value != null);
  const at = cursor === null ? null : lines.x[cursor];
  return (
    <div class="ps-legend">
      <span>
        <Swatch color="var(--ps-s1)" />
        Train <b>{format.loss(bucket < 0 ? null : smooth[bucket])}</b>
      </span>
      <span>
        <Swatch color="var(--ps-s1)" faint />
        As logged <b>{format.loss(bucket < 0 ? null : points.column("mean")[bucket])}</b>
      </span>
      {lines.evaluation.some((value) => value != null) && (
        <span>
          <Swatch color="var(--ps-s2)" dots />
          Evaluation <b>{format.loss(before[before.length - 1])}</b>
        </span>
      )}
      <span class="ps-muted">{at == null ? (live ? "now" : "at the end") : axis === "step" ? `at step ${format.count(at)}` : `at ${FORMAT_X[axis](at)}`}</span>
      <span class="ps-end">{children}</span>
    </div>
  );
}

type SmallProps = { x: number[]; formatX: (value: number) => string; incrementsX: number[] | undefined; group: string; onCursor: (index: number | null) => void; xEnd: number | null; name: string; values: Lines["raw"]; color: string; formatY: (value: number, increment: number) => string; now: (value: number) => string };

function SmallChart({ name, values, color, now, ...shared }: SmallProps) {
  const last = values.findLast((value) => value != null);
  if (last == null) return null;
  return (
    <figure>
      <figcaption class="ps-xs ps-muted">
        {name} · {now(last)}
      </figcaption>
      <Chart {...shared} label={`${name}, ${now(last)} at the last step`} height={84} series={[{ values, color }]} />
    </figure>
  );
}

function LossTable({ points, smooth, evaluations }: { points: Points; smooth: (number | null)[]; evaluations: RunView["evaluations"] }) {
  const every = Math.max(1, Math.ceil(points.length / 12));
  const rows = points.column("step").map((step, at) => [step, points.column("mean")[at], smooth[at]] as const);
  return (
    <table class="ps-table">
      <thead>
        <tr>
          <th class="ps-num">Step</th>
          <th class="ps-num">Loss as logged</th>
          <th class="ps-num">Smoothed</th>
          <th class="ps-num">Evaluation so far</th>
        </tr>
      </thead>
      <tbody>
        {rows
          .filter((_, at) => at % every === 0 || at === rows.length - 1)
          .map(([step, mean, smoothValue]) => (
            <tr key={step}>
              <td class="ps-num">{format.count(step)}</td>
              <td class="ps-num">{format.loss(mean)}</td>
              <td class="ps-num">{format.loss(smoothValue)}</td>
              <td class="ps-num">{format.loss(evaluations.findLast((one) => one[0] <= step)?.[1])}</td>
            </tr>
          ))}
      </tbody>
    </table>
  );
}

/** Where the axis ends: at the planned step, or where the present pace would take tokens and time. */
function endOf(view: RunView, axis: Axis, lines: Lines): number | null {
  const { step, total } = view.progress;
  if (!total || !view.head.live) return null;
  if (axis === "step") return total;
  const last = lines.x[lines.x.length - 1];
  return last && step ? (last * total) / step : null;
}

function epochMarks(view: RunView): { x: number; word: string }[] {
  const { steps_per_epoch: size, total } = view.progress;
  if (!size || !total || total / size > 12) return [];
  return Array.from({ length: Math.ceil(total / size) - 1 }, (_, at) => ({ x: size * (at + 1), word: `epoch ${at + 2}` }));
}

function sentence(view: RunView, points: Points, smooth: (number | null)[]): string {
  const last = format.loss(smooth[smooth.length - 1]);
  const evaluation = view.evaluations[view.evaluations.length - 1];
  const held = evaluation ? `; evaluation loss ${format.loss(evaluation[1])} at step ${format.count(evaluation[0])}` : "";
  return `Training loss from ${format.loss(points.column("mean")[0])} to ${last} over ${format.count(view.progress.step)} of ${format.count(view.progress.total)} steps${held}`;
}
