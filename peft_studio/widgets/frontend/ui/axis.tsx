// What losses are drawn along: step, tokens or time. One choice for all curves of a chart.
import { Segmented } from "./field";
import * as format from "./format";

export type Axis = "step" | "tokens" | "time_s";

export const AXES: Record<Axis, string> = { step: "Step", tokens: "Tokens", time_s: "Time" };

/** A place on the axis, in words. */
export const writePlace: Record<Axis, (value: number) => string> = { step: (value) => format.count(value), tokens: format.large, time_s: (value) => format.duration(value) };

/** Round distances between ticks of a time axis. */
export const SECONDS = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14_400, 43_200, 86_400, 172_800, 604_800];

/** Only what is `known` of a curve can be chosen. */
export function AxisSwitch({ axis, known, onChange }: { axis: Axis; known: (axis: Axis) => boolean; onChange: (axis: Axis) => void }) {
  const options = (Object.keys(AXES) as Axis[]).filter(known).map((value) => ({ value, title: AXES[value] }));
  return <Segmented label="Horizontal axis" value={axis} options={options} onChange={(value) => onChange(value as Axis)} />;
}

/** Index of the last of ascending places that is not past `at`; -1 before the first, and beyond the last. */
export function placeAt(places: number[], at: number): number {
  return at > (places[places.length - 1] ?? -Infinity) ? -1 : places.findLastIndex((place) => place <= at);
}
