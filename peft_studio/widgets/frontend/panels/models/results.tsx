// Results as they come, and how each registry stands. A name opens the details.
import { FitBadge } from "../../ui/fit";
import { count, fileSize, UNKNOWN } from "../../ui/format";
import { Icon, type Hue, type IconName } from "../../ui/icon";
import { type ModelsView, parameters, type Part, placeOf, type Row } from "./view";

const STATES: Record<Part["state"], [icon: IconName, hue: Hue]> = {
  asking: ["open", "info"],
  late: ["stale", "warn"],
  answered: ["check", "ok"],
  failed: ["error", "error"],
  offline: ["offline", "warn"],
};

export function Parts({ parts }: { parts: Part[] }) {
  return (
    <ul class="ps-sub ps-parts-line" aria-label="Registries">
      {parts.map((part) => (
        <li key={part.name} data-state={part.state} title={part.why_not || undefined}>
          <Icon name={STATES[part.state][0]} hue={STATES[part.state][1]} turning={part.state === "asking"} />
          <span>
            <bdi>{part.title}</bdi>: {said(part)}
          </span>
        </li>
      ))}
    </ul>
  );
}

function said(part: Part): string {
  if (part.state === "asking") return "asking";
  if (part.state === "late") return "slow, the others do not wait";
  if (part.state === "answered") return part.count ? `${count(part.count)}${part.more ? " and more" : ""}` : "none";
  if (part.state === "offline") return part.as_of ? `${count(part.count)} ${part.as_of}` : "not asked, and never was for this";
  return part.as_of ? `${part.why_not} Here are ${count(part.count)} ${part.as_of}.` : part.why_not;
}

export function Results({ rows, view, onOpen }: { rows: Row[]; view: ModelsView; onOpen: (row: Row) => void }) {
  return (
    <table class="ps-table ps-models-table">
      <thead>
        <tr>
          <th>Model</th>
          <th>Fits here</th>
          <th class="ps-num ps-p1">Parameters</th>
          <th class="ps-num ps-p2">Size</th>
          <th class="ps-p2">Licence</th>
          <th class="ps-num ps-p3">Downloads</th>
        </tr>
      </thead>
      <tbody>
        {rows.map((row) => (
          <tr key={`${row.registry} ${row.id}`} aria-current={row.id === view.chosen ? "true" : undefined}>
            <th scope="row">
              <button type="button" class="ps-open" title={row.title} onClick={() => onOpen(row)}>
                <bdi>{row.title}</bdi>
              </button>
              <Second row={row} view={view} />
            </th>
            <td>
              {row.fit ? (
                <span title={row.fit_basis}>
                  <FitBadge fit={row.fit} />
                </span>
              ) : (
                <span class="ps-muted" title={row.reason}>
                  {UNKNOWN}
                </span>
              )}
              {row.fit && row.fit !== "ok" && row.sale_words && <span class="ps-sale-words">{row.sale_words}</span>}
            </td>
            <td class="ps-num ps-p1">{parameters(row.parameters)}</td>
            <td class="ps-num ps-p2">{fileSize(row.size_bytes)}</td>
            <td class="ps-p2">
              <bdi class="ps-cut">{row.licence || UNKNOWN}</bdi>
            </td>
            <td class="ps-num ps-p3" title={row.downloads_over ? `over ${row.downloads_over}` : undefined}>
              {count(row.downloads)}
            </td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}

function Second({ row, view }: { row: Row; view: ModelsView }) {
  return (
    <span class="ps-second">
      <span>{placeOf(row, view)}</span>
      {row.here && row.registry !== "here" && (
        <span class="ps-here">
          <Icon name="laptop" hue="ok" /> on this machine
        </span>
      )}
      {row.gated && (
        <span>
          <Icon name="lock" hue="warn" /> gated
        </span>
      )}
      {row.quantisation && <span>{row.quantisation}</span>}
      {row.parameters !== null && <span class="ps-back-1">{parameters(row.parameters)}</span>}
      {row.size_bytes !== null && <span class="ps-back-2">{fileSize(row.size_bytes)}</span>}
      {row.licence && <span class="ps-back-2">{row.licence}</span>}
    </span>
  );
}
