// Other runs laid over this one's losses: which ones are offered, their lines, and their place in the legend.
import { useEffect, useMemo, useState } from "preact/hooks";
import { useBridge, type useCommands } from "../../bridge/hooks";
import { Points } from "../../bridge/points";
import { type Axis, placeAt } from "../../ui/axis";
import { IconButton } from "../../ui/button";
import * as format from "../../ui/format";
import { Swatch } from "../../ui/swatch";
import { type Line, smoothed } from "./lines";
import type { OfferedRun, OtherRun, Overlay, RunView } from "./view";

// The first four series are worn by this run: losses, evaluation, learning rate, gradient norm.
const DASHES = [undefined, [6, 3], [2, 3], [8, 3, 2, 3]];

export interface Other extends Line {
  run: OtherRun;
  color: string;
  dash: number[] | undefined;
}

type Run = ReturnType<typeof useCommands>["run"];

const nameOf = (run: OfferedRun): string => run.name || run.id;
const noteOf = (run: OfferedRun): string => `${run.model}, ${format.method(run.method)}${run.rank === null ? "" : ` r${run.rank}`}`;

/** Ids of the other runs, and how to choose them. A click counts at once; what the kernel makes of it counts when it is told. */
export function useChosen(run: Run): [ids: string[], choose: (ids: string[]) => void] {
  // Asked of the bridge itself: what was handed down may be a picture older than the kernel's answer.
  const { overlay } = useBridge().sections as unknown as RunView;
  const [picked, setPicked] = useState<string[] | null>(null);
  const choose = (ids: string[]): void => {
    setPicked(ids);
    void run("lay_over", { run_ids: ids }).finally(() => setPicked((now) => (now === ids ? null : now)));
  };
  return [picked ?? overlay?.chosen ?? [], choose];
}

/** The other runs as lines along an axis, smoothed as this one. Each keeps its colour while it is there. */
export function useOthers(overlay: Overlay | null, axis: Axis, weight: number): Other[] {
  const worn = (useBridge().local["worn"] ??= []) as (string | undefined)[];
  return useMemo(() => {
    const runs = overlay?.runs ?? [];
    worn.forEach((id, at) => runs.every((run) => run.id !== id) && (worn[at] = undefined));
    return runs.map((run) => {
      const known = worn.indexOf(run.id);
      const free = worn.indexOf(undefined);
      const at = known >= 0 ? known : free >= 0 ? free : worn.length;
      worn[at] = run.id;
      const values = smoothed(Object.assign(new Points(), { columns: run.columns }), weight);
      return { run, x: run.columns[axis] ?? [], values, color: `var(--ps-s${5 + at})`, dash: DASHES[at] };
    });
  }, [overlay, axis, weight]);
}

interface LegendProps {
  overlay: Overlay;
  chosen: string[];
  others: Other[];
  /** Where the crosshair is; null or undefined when it is nowhere. */
  at: number | null | undefined;
  onChoose: (ids: string[]) => void;
}

/** Names of the other runs with their losses at the crosshair, or at their ends. */
export function OthersLegend({ overlay, chosen, others, at, onChoose }: LegendProps) {
  if (!chosen.length) return null;
  const words = overlay.problem?.message ?? (overlay.reading ? "Reading the runs" : at == null ? "at their ends" : "");
  return (
    <div class="ps-legend ps-others" role="group" aria-label="Other runs">
      {others.map(({ run, x, values, color, dash }) => (
        <span key={run.id}>
          <Swatch color={color} dash={dash?.join(" ")} />
          <bdi class="ps-cut" title={`${nameOf(run)}: ${noteOf(run)}`}>
            {nameOf(run)}
          </bdi>
          <b>{format.loss(values[at == null ? values.length - 1 : placeAt(x, at)])}</b>
          <IconButton icon="close" label={`Remove ${nameOf(run)}`} onPress={() => onChoose(chosen.filter((id) => id !== run.id))} />
        </span>
      ))}
      <span class="ps-muted">{words}</span>
    </div>
  );
}

/** The newest other runs, to be chosen. */
export function Offered({ most, chosen, run, onChoose }: { most: number; chosen: string[]; run: Run; onChoose: (ids: string[]) => void }) {
  const [offered, setOffered] = useState<OfferedRun[] | null>(null);
  useEffect(() => void run("offer").then((runs) => setOffered((runs ?? []) as OfferedRun[])), []);
  if (!offered?.length) return <p class="ps-muted ps-s ps-offered">{offered ? "No other run has a curve yet." : "Reading the runs"}</p>;
  const full = chosen.length >= most;
  return (
    <div class="ps-offered" role="group" aria-label={`Runs to lay over this one, at most ${most}`}>
      {offered.map((one) => {
        const on = chosen.includes(one.id);
        return (
          <label key={one.id} class="ps-check" data-tip={!on && full ? `At most ${most} at a time` : undefined}>
            <input type="checkbox" checked={on} disabled={!on && full} onChange={() => onChoose(on ? chosen.filter((id) => id !== one.id) : [...chosen, one.id])} />
            <bdi class="ps-cut">{nameOf(one)}</bdi>
            <span class="ps-muted ps-cut">{noteOf(one)}</span>
          </label>
        );
      })}
    </div>
  );
}
