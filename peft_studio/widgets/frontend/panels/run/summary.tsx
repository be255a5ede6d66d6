// The lines under the head: what is trained on what, how far it is, and the four numbers that are looked at most.
import type { ComponentChildren } from "preact";
import * as format from "../../ui/format";
import type { Hue, IconName } from "../../ui/icon";
import { Icon } from "../../ui/icon";
import { Meter } from "../../ui/meter";
import { Stepper } from "../../ui/stepper";
import { NotifyMe } from "./ended";
import type { Facts, RunMeter, RunView } from "./view";

const PHASES: Record<string, string> = { requested: "Ask", provisioning: "Provide", booting: "Boot", sending: "Send", installing: "Install", fetching: "Fetch", queued: "Queue", loading: "Load", reading: "Read data", training: "Train", evaluating: "Evaluate", saving: "Save" };
const DEVICES: Record<string, string> = { cpu: "this machine, CPU", cuda: "this machine, GPU", mps: "this machine, GPU" };
const ENDS: Record<string, [IconName, Hue]> = { completed: ["check", "ok"], stopped: ["stopped", "muted"], failed: ["error", "error"], lost: ["lost", "warn"], queued: ["queued", "muted"] };

export function FactsLine({ facts, meter, heardFor }: { facts: Facts; meter: RunMeter | null; heardFor: number | null }) {
  const method = `${format.method(facts.method)}, rank ${facts.rank}${facts.quantization ? `, ${facts.quantization}` : ""}`;
  const many = facts.device?.includes(" × ") ? facts.device : null;
  const here = many ? `this machine, ${many}` : facts.device ? (DEVICES[facts.device.split(":")[0] ?? ""] ?? `this machine, ${facts.device}`) : "this machine";
  return (
    <p class="ps-sub">
      <Fact icon="model" text={facts.model} />
      <Fact icon="sliders" text={method} />
      <Fact icon="data" text={`${facts.data}, ${format.count(facts.rows)} rows`} />
      <Fact icon="laptop" text={meter ? [meter.provider, many ?? meter.gpu].filter(Boolean).join(", ") : here} {...(meter && { title: meter.label })} />
      {facts.loop && (
        <span class="ps-hide-m" title={facts.loop_reason ?? ""}>
          {facts.precision}, {facts.loop} loop
        </span>
      )}
      {heardFor !== null && (
        <span class="ps-end">
          <Icon name="clock" />
          heard {format.duration(Math.max(1, heardFor))} ago
        </span>
      )}
    </p>
  );
}

function Fact({ icon, text, title = text }: { icon: IconName; text: string; title?: string }) {
  return (
    <span title={title}>
      <Icon name={icon} />
      <bdi class="ps-cut">{text}</bdi>
    </span>
  );
}

export function ProgressSection({ view }: { view: RunView }) {
  const { progress, head } = view;
  const ended = head.state === "completed";
  const [icon, hue] = ENDS[head.state] ?? (["train", "accent"] as const);
  const steps = view.phases.map((phase) => ({ ...phase, name: PHASES[phase.phase] ?? phase.phase, place: ended ? ("done" as const) : phase.place }));
  const left = progress.left_s;
  const text = `Step ${format.count(progress.step)} of ${format.count(progress.total)}`;
  return (
    <div class="ps-sec">
      <Stepper steps={steps} icon={icon} hue={hue} />
      <div class="ps-progress">
        <span>
          <b>Step {format.count(progress.step)}</b> <span class="ps-muted">of {format.count(progress.total)}</span>
        </span>
        {progress.epoch !== null && progress.epochs !== null && (
          <span class="ps-muted">
            epoch {format.count(progress.epoch, 2)} of {format.count(progress.epochs, 2).replace(/\.?0+$/, "")}
          </span>
        )}
        <span class="ps-end">
          {left ? (
            <>
              <b>about {format.remaining(left[0])} left</b> <span class="ps-muted">{format.remainingRange(left[1], left[2])}</span>
            </>
          ) : (
            <span class="ps-muted">{ended ? took(view) : ""}</span>
          )}
        </span>
        {head.live && <NotifyMe id={head.id} />}
        <Meter label="Steps" value={progress.step} total={progress.total ?? 0} text={text} {...(ended ? { hue: "ok" as const } : {})} />
      </div>
    </div>
  );
}

const took = (view: RunView): string => `took ${format.duration(view.phases.reduce((sum, phase) => sum + (phase.seconds ?? 0), 0))}`;

export function Tiles({ view, smoothed }: { view: RunView; smoothed: number | null }) {
  const { numbers, head } = view;
  const evaluation = numbers.eval_loss === null ? "" : `eval ${format.loss(numbers.eval_loss)}`;
  const from = numbers.first_loss === null ? "no step yet" : `from ${format.loss(numbers.first_loss)}`;
  const memory = numbers.memory_bytes ?? (head.live ? null : numbers.memory_peak_bytes);
  const peak = numbers.memory_peak_bytes === null ? "" : head.live ? `peak ${format.gib(numbers.memory_peak_bytes)} GiB` : "at its peak";
  return (
    <div class="ps-sec">
      <dl class="ps-tiles">
        <Tile name="Loss, smoothed" value={format.loss(smoothed)} note={[from, evaluation].filter(Boolean).join(", ")} />
        <Tile name="Throughput" value={format.rate(numbers.tokens_per_s)} unit="tokens/s" note={numbers.tokens === null ? "" : `${format.large(numbers.tokens)} tokens ${head.live ? "so far" : "in all"}`} />
        <Tile name={numbers.memory_of === "gpu" ? "GPU memory" : "Memory"} value={format.gib(memory)} unit={numbers.memory_total_bytes && head.live ? `of ${format.gib(numbers.memory_total_bytes)} GiB` : "GiB"} note={peak}>
          {numbers.memory_total_bytes !== null && head.live && <Meter value={memory ?? 0} total={numbers.memory_total_bytes} hue={(memory ?? 0) > 0.88 * numbers.memory_total_bytes ? "warn" : "ok"} />}
        </Tile>
        {view.meter ? <CostTile meter={view.meter} /> : <Tile name="Cost so far" value="No charge" note="on this machine" />}
      </dl>
    </div>
  );
}

function CostTile({ meter }: { meter: RunMeter }) {
  const until = meter.until_at === null ? "" : `gone by ${format.clock(meter.until_at)} at the latest`;
  return (
    <Tile name={meter.note ? `Cost so far, ${meter.note}` : "Cost so far"} value={meter.spent} {...(meter.cap && { unit: `of ${meter.cap}` })} note={[meter.rate ?? "nothing is billed now", until].filter(Boolean).join(", ")}>
      {meter.share !== null && <Meter value={meter.share} total={1} hue={meter.share > 0.8 ? "warn" : "ok"} />}
    </Tile>
  );
}

function Tile({ name, value, unit, note, children }: { name: string; value: string; unit?: string; note: string; children?: ComponentChildren }) {
  return (
    <div>
      <dt>{name}</dt>
      <dd class="ps-value">
        {value} {unit && value !== format.UNKNOWN && <small>{unit}</small>}
      </dd>
      {children && <dd>{children}</dd>}
      <dd class="ps-note">{note}</dd>
    </div>
  );
}
