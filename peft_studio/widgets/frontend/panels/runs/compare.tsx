// Selected runs side by side: their losses as a chart or a table, measures with the best marked, settings that differ.
import { useLocal } from "../../bridge/hooks";
import { AXES, type Axis, AxisSwitch, placeAt, writePlace } from "../../ui/axis";
import { IconButton } from "../../ui/button";
import { Segmented } from "../../ui/field";
import * as format from "../../ui/format";
import { Icon } from "../../ui/icon";
import { Overlay, placesAlong } from "./overlay";
import { type ComparedRun, type Comparison, nameOf } from "./view";

const AS = [{ value: "chart", title: "Chart" }, { value: "table", title: "Table" }];
const ROWS = 6;
const WRITE = { loss: format.loss, duration: (value: number | null) => format.duration(value), rate: format.rate };

export function CompareSection({ comparison, onClose }: { comparison: Comparison; onClose: () => void }) {
  const { runs, measures, settings, equal } = comparison;
  const [wanted, setAxis] = useLocal<Axis>("axis", "step");
  const [as, setAs] = useLocal("as", "chart");
  const known = (axis: Axis): boolean => runs.every((run) => run.points[axis]);
  const axis = known(wanted) ? wanted : "step";
  return (
    <div class="ps-sec" role="region" aria-label="Comparison">
      <header>
        <h3>Compare {runs.length} runs</h3>
        <span class="ps-muted ps-s">training loss, smoothed</span>
        <span class="ps-end ps-row ps-tight">
          <AxisSwitch axis={axis} known={known} onChange={setAxis} />
          <Segmented label="Show losses as" value={as} options={AS} onChange={setAs} />
          <IconButton icon="close" label="Close the comparison" onPress={onClose} />
        </span>
      </header>
      {as === "chart" ? <Overlay runs={runs} axis={axis} /> : <LossTable runs={runs} axis={axis} />}
      <div class="ps-matrix" tabIndex={0} role="region" aria-label="Side by side">
        <table class="ps-table">
          <Heads first="Measure" runs={runs} />
          <tbody>
            {measures.map(({ name, kind, values, best }) => (
              <tr key={name}>
                <th scope="row">{name}</th>
                {values.map((value, at) => (
                  <td key={at} class="ps-num">
                    {best.includes(at) ? (
                      <>
                        <Icon name="best" hue="ok" />
                        <span class="ps-hidden">best</span> <b>{WRITE[kind](value)}</b>
                      </>
                    ) : (
                      WRITE[kind](value)
                    )}
                  </td>
                ))}
              </tr>
            ))}
            {settings.map(({ name, values }) => (
              <tr key={name}>
                <th scope="row" class="ps-mono">
                  {name}
                </th>
                {values.map((value, at) => (
                  <td key={at} class="ps-num ps-mono" title={value}>
                    <bdi>{value}</bdi>
                  </td>
                ))}
              </tr>
            ))}
          </tbody>
        </table>
      </div>
      <p class="ps-muted ps-s">
        {settings.length ? `${settings.length} settings differ` : "All settings are equal"}, {equal} are equal. One run each: small differences may be noise.
      </p>
    </div>
  );
}

function Heads({ first, runs }: { first: string; runs: ComparedRun[] }) {
  return (
    <thead>
      <tr>
        <th scope="col">{first}</th>
        {runs.map((run) => (
          <th key={run.id} class="ps-num" scope="col" title={nameOf(run)}>
            <bdi>{nameOf(run)}</bdi>
          </th>
        ))}
      </tr>
    </thead>
  );
}

/** Losses at a few round places of the axis, and where each run ends. */
function LossTable({ runs, axis }: { runs: ComparedRun[]; axis: Axis }) {
  const places = placesAlong(runs, axis, ROWS).at.filter((place) => place > 0);
  return (
    <div class="ps-matrix" tabIndex={0} role="region" aria-label="Losses">
      <table class="ps-table">
        <Heads first={AXES[axis]} runs={runs} />
        <tbody>
          {places.map((place) => (
            <tr key={place}>
              <th scope="row">{writePlace[axis](place)}</th>
              {runs.map(({ id, points }) => (
                <td key={id} class="ps-num">
                  {format.loss(points.loss[placeAt(points[axis] ?? [], place)])}
                </td>
              ))}
            </tr>
          ))}
          <tr>
            <th scope="row">At the end</th>
            {runs.map(({ id, points }) => (
              <td key={id} class="ps-num">
                {format.loss(points.loss.at(-1))} <span class="ps-muted">{writePlace[axis](points[axis]?.at(-1) ?? NaN)}</span>
              </td>
            ))}
          </tr>
        </tbody>
      </table>
    </div>
  );
}
