// One model: whether it fits and what it needs, its shapes, its files, and its card, which is a stranger's text and shown as text.
import { useEffect, useRef } from "preact/hooks";
import { Button } from "../../ui/button";
import { FitBadge } from "../../ui/fit";
import { count, fileSize, gib, UNKNOWN } from "../../ui/format";
import { Icon } from "../../ui/icon";
import { Notice } from "../../ui/notice";
import { Skeleton } from "../../ui/skeleton";
import { type Details, type ModelsView, type Needs, type Sale, parameters, placeOf } from "./view";

interface DetailsProps {
  view: ModelsView;
  onBack: () => void;
  onUse: () => unknown;
  onNext: () => unknown;
}

export function DetailsSection({ view, onBack, onUse, onNext }: DetailsProps) {
  const details = view.details!;
  const title = useRef<HTMLHeadingElement>(null);
  useEffect(() => title.current?.focus(), [details.id, details.registry]);
  const back = (event: KeyboardEvent): void => {
    if (event.key !== "Escape") return;
    event.stopPropagation();
    onBack();
  };
  return (
    <div class="ps-model" onKeyDown={back}>
      <div class="ps-sec ps-model-head">
        <Button small icon="left" onPress={onBack}>
          Results
        </Button>
        <h3 ref={title} tabIndex={-1} class="ps-cut" title={details.id}>
          <bdi>{details.state === "ready" ? details.title : details.id}</bdi>
        </h3>
      </div>
      {details.state === "busy" && <Skeleton said={`Asking ${placeOf(details, view)}`} />}
      {details.state === "failed" && details.problem && (
        <div class="ps-sec">
          <Notice hue="error" urgent fact={details.problem.message}>
            {details.problem.hint && <p class="ps-s" dir="auto">{details.problem.hint}</p>}
          </Notice>
        </div>
      )}
      {details.state === "ready" && <Ready details={details} view={view} onUse={onUse} onNext={onNext} />}
    </div>
  );
}

function Ready({ details, view, onUse, onNext }: { details: Details; view: ModelsView; onUse: () => unknown; onNext: () => unknown }) {
  const chosen = view.chosen === details.id;
  return (
    <>
      <Facts details={details} view={view} />
      <NeedsSection details={details} view={view} />
      {!details.reason && <SaleSection sale={details.sale} />}
      {details.shapes.length > 0 && (
        <div class="ps-sec">
          <header>
            <h3>Shapes</h3>
            <span class="ps-muted ps-s">from its config.json</span>
          </header>
          <dl class="ps-shapes">
            {details.shapes.map(([name, value]) => (
              <div key={name}>
                <dt>{name}</dt>
                <dd dir="auto">{value}</dd>
              </div>
            ))}
          </dl>
        </div>
      )}
      {details.files.length > 0 && (
        <div class="ps-sec">
          <details>
            <summary>
              {count(details.files_total)} {details.files_total === 1 ? "file" : "files"}
            </summary>
            <ul class="ps-model-files">
              {details.files.map(([path, bytes]) => (
                <li key={path}>
                  <bdi class="ps-mono">{path}</bdi>
                  <span class="ps-muted">{fileSize(bytes)}</span>
                </li>
              ))}
              {details.files_total > details.files.length && <li class="ps-muted">… and {count(details.files_total - details.files.length)} more</li>}
            </ul>
          </details>
        </div>
      )}
      {details.card && (
        <div class="ps-sec">
          <header>
            <h3>Model card</h3>
            <span class="ps-muted ps-s">by its author, as text</span>
          </header>
          <pre class="ps-card-text" tabIndex={0} aria-label="Model card" dir="auto">
            {details.card}
          </pre>
        </div>
      )}
      <footer class="ps-foot">
        <span>{details.reason || (details.gated && !details.here ? "Gated: its files come only to accounts that its author has let in." : details.here ? "It is on this machine: no download." : `Training it first downloads ${details.size_bytes === null ? "its files" : fileSize(details.size_bytes)}.`)}</span>
        <span class="ps-end ps-row">
          {chosen ? (
            <>
              <span class="ps-state" role="status">
                <Icon name="check" hue="ok" />
                Chosen
              </span>
              <Button kind="primary" onPress={onNext}>
                Choose data
              </Button>
            </>
          ) : (
            <Button kind="primary" reason={details.reason || undefined} onPress={onUse}>
              Use this model
            </Button>
          )}
        </span>
      </footer>
    </>
  );
}

function Facts({ details, view }: { details: Details; view: ModelsView }) {
  return (
    <p class="ps-sub">
      <span>{placeOf(details, view)}</span>
      {details.title !== details.id && (
        <span>
          <bdi class="ps-mono">{details.id}</bdi>
        </span>
      )}
      {details.author && <span>by <bdi>{details.author}</bdi></span>}
      {details.parameters !== null && <span>{parameters(details.parameters)} parameters</span>}
      {details.size_bytes !== null && <span>{fileSize(details.size_bytes)}</span>}
      <span>licence <bdi>{details.licence || UNKNOWN}</bdi></span>
      {details.downloads !== null && <span>{count(details.downloads)} downloads{details.downloads_over ? ` over ${details.downloads_over}` : ""}</span>}
      {details.quantisation && <span>{details.quantisation}</span>}
      {details.gated && (
        <span>
          <Icon name="lock" hue="warn" /> gated
        </span>
      )}
      {details.here && details.registry !== "here" && (
        <span>
          <Icon name="laptop" hue="ok" /> on this machine
        </span>
      )}
      {details.base_models.length > 0 && <span>made from <bdi>{details.base_models.join(", ")}</bdi></span>}
      {details.as_of && (
        <span>
          <Icon name="stale" hue="warn" /> {details.as_of}
        </span>
      )}
      {details.url && (
        <a class="ps-end" href={details.url} target="_blank" rel="noopener noreferrer">
          Its page
        </a>
      )}
    </p>
  );
}

function NeedsSection({ details, view }: { details: Details; view: ModelsView }) {
  const free = view.machine.free_bytes;
  return (
    <div class="ps-sec">
      <header>
        <h3>To train it</h3>
        {details.fit && <FitBadge fit={details.fit} />}
        <span class="ps-muted ps-s">{free === null ? "How much memory is free here is not known" : `${gib(free)}\u202fGiB free on this machine`}</span>
      </header>
      {details.needs.length === 0 ? (
        <p class="ps-s ps-muted">{details.reason || (details.fit ? `${details.fit_basis} Its config.json does not tell its shapes, so there is no estimate.` : "What it needs is not known before its config.json is here.")}</p>
      ) : (
        <ul class="ps-needs">
          {details.needs.map((one) => (
            <Need key={one.name} needs={one} sale={details.sale} />
          ))}
        </ul>
      )}
    </div>
  );
}

function Need({ needs, sale }: { needs: Needs; sale: Sale }) {
  const price = sale.methods[needs.name];
  return (
    <li>
      <b>{needs.name}</b>
      <FitBadge fit={needs.fit} />
      <span>
        about <b>{gib(needs.value)}</b> <span class="ps-muted">({gib(needs.low)}–{gib(needs.high)})</span>{"\u202f"}GiB here{"; "}
        {price ? <span>on sale from <b>{price}</b></span> : needs.gpu === null ? "no single GPU for rent has enough" : <span title={needs.gpu_others ? `As much memory: ${needs.gpu_others}` : undefined}>the smallest GPU for rent is <b>{needs.gpu}</b></span>}
      </span>
      <span class="ps-muted ps-xs" dir="auto">{needs.basis}</span>
    </li>
  );
}

function SaleSection({ sale }: { sale: Sale }) {
  const more = sale.total - sale.rows.length;
  return (
    <div class="ps-sec">
      <header>
        <h3>On sale</h3>
        {sale.fit !== "unknown" && <FitBadge fit={sale.fit} />}
        <span class="ps-muted ps-s" role="status" dir="auto">
          {sale.words || `Not known: ${sale.sentence}. The smallest GPUs above are those of a table.`}
        </span>
      </header>
      {sale.rows.length > 0 && (
        <ul class="ps-on-sale">
          {sale.rows.map((row) => (
            <li key={`${row.provider} ${row.gpu} ${row.memory} ${row.price}`}>
              <b>{row.price}</b>
              <span>
                <bdi>{row.gpu}</bdi>, {row.memory} at <bdi>{row.provider}</bdi>
                {row.region && <span class="ps-muted">, <bdi>{row.region}</bdi></span>}
              </span>
              <span>{row.way}</span>
              <span class="ps-muted">seen {row.seen}</span>
            </li>
          ))}
          {more > 0 && <li class="ps-muted">… and {count(more)} more</li>}
        </ul>
      )}
      {sale.notes.map((note) => (
        <p key={note} class="ps-muted ps-xs" dir="auto">
          {note}
        </p>
      ))}
      {sale.rows.length > 0 && <p class="ps-muted ps-xs">One hour, as the provider prices it. What your run costs in all stands in Compute, once its data is chosen.</p>}
    </div>
  );
}
