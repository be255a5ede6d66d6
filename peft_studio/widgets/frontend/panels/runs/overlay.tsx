// Smoothed losses of a few runs over one another. Colour, dash and the name in the legend tell them apart.
import { useEffect, useRef, useState } from "preact/hooks";
import { type Axis, SECONDS, writePlace } from "../../ui/axis";
import { tick } from "../../ui/format";
import { Swatch } from "../../ui/swatch";
import { type ComparedRun, nameOf } from "./view";

const [HEIGHT, LEFT, RIGHT, TOP, BOTTOM] = [220, 40, 8, 8, 22];
const DASHES = [undefined, "6 3", "2 3", "8 3 2 3"];
export const colorOf = (at: number): string => `var(--ps-s${(at % 8) + 1})`;
export const dashOf = (at: number): string | undefined => DASHES[at % DASHES.length];

/** Round values between two numbers, about `most` of them, and the distance between neighbours: one of `sizes`, else 1, 2 or 5 at its first digit. */
export function ticks(low: number, high: number, most: number, sizes: number[] = []): { at: number[]; step: number } {
  const rough = (high - low || 1) / most;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = sizes.find((size) => size >= rough) ?? power * ([1, 2, 5, 10].find((size) => size * power >= rough) ?? 10);
  const from = Math.ceil(low / step - 1e-9);
  return { at: Array.from({ length: Math.floor(high / step + 1e-9) - from + 1 }, (_, index) => (from + index) * step), step };
}

/** Round places along an axis, from its beginning to where the longest run ends. */
export function placesAlong(runs: ComparedRun[], axis: Axis, most: number): { at: number[]; end: number } {
  const end = Math.max(0, ...runs.map((run) => run.points[axis]?.at(-1) ?? 0));
  return { at: ticks(0, end, most, axis === "time_s" ? SECONDS : []).at, end };
}

export function Overlay({ runs, axis }: { runs: ComparedRun[]; axis: Axis }) {
  const box = useRef<HTMLDivElement>(null);
  const [width, setWidth] = useState(600);
  useEffect(() => {
    if (!box.current) return;
    const watch = new ResizeObserver(([entry]) => entry && setWidth(Math.max(160, entry.contentRect.width)));
    watch.observe(box.current);
    return () => watch.disconnect();
  }, []);
  return (
    <div ref={box}>
      <p class="ps-legend">
        {runs.map((run, at) => (
          <span key={run.id}>
            <Swatch color={colorOf(at)} dash={dashOf(at)} />
            <bdi class="ps-cut">{nameOf(run)}</bdi>
          </span>
        ))}
      </p>
      <Lines runs={runs} axis={axis} width={width} />
    </div>
  );
}

function Lines({ runs, axis, width }: { runs: ComparedRun[]; axis: Axis; width: number }) {
  const losses = runs.flatMap((run) => run.points.loss);
  if (losses.length < 2) return <p class="ps-muted ps-s">These runs have no losses to draw yet.</p>;
  const [low, high] = [Math.min(...losses), Math.max(...losses)];
  const { at: columns, end } = placesAlong(runs, axis, width < 420 ? 3 : 6);
  const x = (place: number): number => LEFT + (place / (end || 1)) * (width - LEFT - RIGHT);
  const y = (loss: number): number => TOP + ((high - loss) / (high - low || 1)) * (HEIGHT - TOP - BOTTOM);
  const rows = ticks(low, high, 4);
  const said = runs.map((run) => `${nameOf(run)} ends at ${run.points.loss.at(-1)?.toFixed(3) ?? "no loss"}`).join(", ");
  return (
    <svg class="ps-overlay" width={width} height={HEIGHT} role="img" aria-label={`Smoothed training loss: ${said}`}>
      {rows.at.map((loss) => (
        <g key={loss}>
          <path class="ps-gridline" d={`M${LEFT} ${y(loss)}H${width - RIGHT}`} />
          <text x={LEFT - 6} y={y(loss) + 4} text-anchor="end">
            {tick(loss, rows.step)}
          </text>
        </g>
      ))}
      <path class="ps-baseline" d={`M${LEFT} ${HEIGHT - BOTTOM}H${width - RIGHT}`} />
      {columns.map((place) => (
        <text key={place} x={x(place)} y={HEIGHT - 6} text-anchor={x(place) > width - 30 ? "end" : "middle"}>
          {writePlace[axis](place)}
        </text>
      ))}
      {runs.map(({ id, points }, at) => (
        <path
          key={id}
          d={(points[axis] ?? []).map((place, index) => `${index ? "L" : "M"}${x(place).toFixed(1)} ${y(points.loss[index] ?? 0).toFixed(1)}`).join("")}
          style={{ stroke: colorOf(at) }}
          stroke-width="1.75"
          stroke-dasharray={dashOf(at)}
        />
      ))}
    </svg>
  );
}
