// Selected runs side by side: their losses over one another, measures with the best marked, settings that differ.
import { IconButton } from "../../ui/button";
import * as format from "../../ui/format";
import { Icon } from "../../ui/icon";
import { BEST } from "../../ui/shapes";
import { Overlay } from "./overlay";
import { type Comparison, nameOf } from "./view";

const WRITE = { loss: format.loss, duration: (value: number | null) => format.duration(value), rate: format.rate };

export function CompareSection({ comparison, onClose }: { comparison: Comparison; onClose: () => void }) {
  const { runs, measures, settings, equal } = comparison;
  return (
    <div class="ps-sec" role="region" aria-label="Comparison">
      <header>
        <h3>Compare {runs.length} runs</h3>
        <span class="ps-muted ps-s">training loss by step, smoothed</span>
        <span class="ps-end">
          <IconButton icon="close" label="Close the comparison" onPress={onClose} />
        </span>
      </header>
      <Overlay runs={runs} />
      <div class="ps-matrix" tabIndex={0} role="region" aria-label="Side by side">
        <table class="ps-table">
          <thead>
            <tr>
              <th>Measure</th>
              {runs.map((run) => (
                <th key={run.id} class="ps-num" scope="col" title={nameOf(run)}>
                  <bdi>{nameOf(run)}</bdi>
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            {measures.map(({ name, kind, values, best }) => (
              <tr key={name}>
                <th scope="row">{name}</th>
                {values.map((value, at) => (
                  <td key={at} class="ps-num">
                    {best.includes(at) ? (
                      <>
                        <Icon name={BEST} hue="ok" />
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
