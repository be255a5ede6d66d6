// The curve: raw and smoothed training loss with evaluations, other runs over it, learning rate and gradient norm under it, one crosshair for all.
import type { ComponentChildren } from "preact";
import { useMemo, useState } from "preact/hooks";
import { useLocal, useUnique, type useCommands } from "../../bridge/hooks";
import type { Points } from "../../bridge/points";
import { type Axis, AxisSwitch, placeAt, SECONDS, writePlace } from "../../ui/axis";
import { Button } from "../../ui/button";
import { Chart } from "../../ui/chart";
import * as format from "../../ui/format";
import { Swatch } from "../../ui/swatch";
import { buildLines, defaultSmoothing, layOver, type Lines, smoothed } from "./lines";
import { Offered, type Other, OthersLegend, useChosen, useOthers } from "./others";
import type { RunView } from "./view";

/** Heights by the panel's width (look.md section 4). */
const heightFor = (width: number): number => (width < 420 ? 180 : width < 720 ? 200 : width < 1000 ? 236 : 300);

export function LossSection({ view, points, width, commands }: { view: RunView; points: Points; width: number; commands: ReturnType<typeof useCommands> }) {
  const [axis, setAxis] = useLocal<Axis>("axis", "step");
  const [chosen, setChosen] = useLocal<number | null>("smoothing", null);
  const [log, setLog] = useLocal("log", false);
  const [table, setTable] = useLocal("table", false);
  const [offering, setOffering] = useLocal("offering", false);
  const [cursor, setCursor] = useState<number | null>(null);
  const group = useUnique();
  const weight = chosen ?? defaultSmoothing(points);
  const smooth = useMemo(() => smoothed(points, weight), [points.version, weight]);
  const others = useOthers(view.overlay, axis, weight);
  const own = useMemo(() => buildLines(points, view.evaluations, axis, smooth), [points.version, view.evaluations, axis, smooth]);
  const lines = useMemo(() => layOver(own, others), [own, others]);
  const at = cursor === null ? null : lines.x[cursor];
  const [chosenRuns, chooseRuns] = useChosen(commands.run);
  const empty = points.length === 0;
  const shared = { x: lines.x, formatX: writePlace[axis], incrementsX: axis === "time_s" ? SECONDS : undefined, group, onCursor: setCursor, xEnd: endOf(view, axis, own) };
  return (
    <div class="ps-sec">
      <header>
        <h3>Loss</h3>
        <span class="ps-end">
          <AxisSwitch axis={axis} known={(one) => !points.column(one).some(Number.isNaN)} onChange={setAxis} />
        </span>
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
          <Legend lines={own} at={at} smooth={smooth} points={points} axis={axis} live={view.head.live}>
            {view.overlay && (
              <Button small kind="quiet" expanded={offering} onPress={() => setOffering(!offering)}>
                Overlay
              </Button>
            )}
            <Button small kind="quiet" expanded={table} onPress={() => setTable(!table)}>
              Table
            </Button>
          </Legend>
          {view.overlay && <OthersLegend overlay={view.overlay} chosen={chosenRuns} others={others} at={at} onChoose={chooseRuns} />}
          {view.overlay && offering && <Offered most={view.overlay.most} chosen={chosenRuns} run={commands.run} onChoose={chooseRuns} />}
          <Chart
            {...shared}
            label={sentence(view, points, smooth, others)}
            height={heightFor(width)}
            log={log}
            formatY={format.tick}
            bands={axis === "step" ? view.warnings.map((warning) => warning.step) : []}
            marks={axis === "step" && width >= 420 ? epochMarks(view) : []}
            series={[
              ...others.map(({ color, dash }, at) => ({ values: lines.others[at] ?? [], color, width: 1.25, ...(dash && { dash }) })),
              { values: lines.raw, color: "var(--ps-s1)", width: 1, opacity: 0.32 },
              { values: lines.smooth, color: "var(--ps-s1)" },
              { values: lines.evaluation, color: "var(--ps-s2)", dash: [6, 3], points: true },
            ]}
          />
          <div class="ps-pair">
            <SmallChart {...shared} name="Learning rate" values={lines.learningRate} color="var(--ps-s3)" now={format.exponent} formatY={format.exponent} />
            <SmallChart {...shared} name="Gradient norm" values={lines.gradNorm} color="var(--ps-s4)" now={format.rate} formatY={format.tick} />
          </div>
          {table && <LossTable points={points} smooth={smooth} evaluations={view.evaluations} others={others} />}
        </>
      )}
    </div>
  );
}

interface LegendProps {
  lines: Lines;
  smooth: (number | null)[];
  points: Points;
  /** Where the crosshair is; null or undefined when it is nowhere. */
  at: number | null | undefined;
  axis: Axis;
  live: boolean;
  children: ComponentChildren;
}

/** Names of the lines with their values at the crosshair, or now. */
function Legend({ lines, smooth, points, at, axis, live, children }: LegendProps) {
  const bucket = at == null ? points.length - 1 : placeAt(points.column(axis), at);
  const evaluation = lines.evaluation.findLast((value, index) => value != null && (at == null || (lines.x[index] ?? 0) <= at));
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
          Evaluation <b>{format.loss(evaluation)}</b>
        </span>
      )}
      <span class="ps-muted">{at == null ? (live ? "now" : "at the end") : axis === "step" ? `at step ${format.count(at)}` : `at ${writePlace[axis](at)}`}</span>
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

function LossTable({ points, smooth, evaluations, others }: { points: Points; smooth: (number | null)[]; evaluations: RunView["evaluations"]; others: Other[] }) {
  const every = Math.max(1, Math.ceil(points.length / 12));
  const rows = points.column("step").map((step, at) => [step, points.column("mean")[at], smooth[at]] as const);
  return (
    <div class="ps-matrix" tabIndex={0} role="region" aria-label="Losses by step">
      <table class="ps-table">
        <thead>
          <tr>
            <th class="ps-num">Step</th>
            <th class="ps-num">Loss as logged</th>
            <th class="ps-num">Smoothed</th>
            <th class="ps-num">Evaluation so far</th>
            {others.map(({ run }) => (
              <th key={run.id} class="ps-num" scope="col">
                <bdi>{run.name || run.id}</bdi>
              </th>
            ))}
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
                {others.map(({ run, values }) => (
                  <td key={run.id} class="ps-num">
                    {format.loss(values[placeAt(run.columns.step, step)])}
                  </td>
                ))}
              </tr>
            ))}
        </tbody>
      </table>
    </div>
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

function sentence(view: RunView, points: Points, smooth: (number | null)[], others: Other[]): string {
  const last = format.loss(smooth[smooth.length - 1]);
  const evaluation = view.evaluations[view.evaluations.length - 1];
  const held = evaluation ? `; evaluation loss ${format.loss(evaluation[1])} at step ${format.count(evaluation[0])}` : "";
  return `Training loss from ${format.loss(points.column("mean")[0])} to ${last} over ${format.count(view.progress.step)} of ${format.count(view.progress.total)} steps${held}${others.map(({ run, values }) => `; ${run.name || run.id} ends at ${format.loss(values[values.length - 1])}`).join("")}`;
}
