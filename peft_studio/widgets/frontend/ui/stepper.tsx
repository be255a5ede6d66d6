// Where a run is on its way: one dot a phase with its seconds; in a narrow panel the current phase, segments and a list behind a button.
import { duration } from "./format";
import { type Hue, Icon, type IconName } from "./icon";
import { useState } from "preact/hooks";
import { Button } from "./button";

export interface Step {
  name: string;
  place: "done" | "now" | "todo";
  seconds: number | null;
}

interface StepperProps {
  steps: Step[];
  /** What the current step is marked with. */
  icon: IconName;
  hue: Hue;
}

const mark = (step: Step, icon: IconName, hue: Hue): [IconName, Hue] =>
  step.place === "now" ? [icon, hue] : step.place === "done" && step.seconds !== null ? ["check", "ok"] : ["todo", "muted"];

const spent = (step: Step): string => (step.seconds !== null ? duration(step.seconds, step.place === "done") : step.place === "done" ? "not needed" : "");

export function Stepper({ steps, icon, hue }: StepperProps) {
  const [open, setOpen] = useState(false);
  const now = steps.findIndex((step) => step.place === "now"); // -1 when all are done
  const current = steps.at(now);
  const list = (className: string) => (
    <ol class={className} aria-label="Phases">
      {steps.map((step) => (
        <li key={step.name} class={`ps-${step.place}`} aria-current={step.place === "now" ? "step" : undefined}>
          <Icon name={mark(step, icon, hue)[0]} hue={mark(step, icon, hue)[1]} />
          <span>{step.name}</span>
          <span class="ps-spent">{spent(step) || "\u00a0"}</span>
        </li>
      ))}
    </ol>
  );
  return (
    <>
      <div class="ps-wide-only">{list("ps-steps")}</div>
      <div class="ps-narrow-only">
        <div class="ps-row">
          <b>{current?.name}</b>
          <span class="ps-muted ps-s">{current ? spent(current) : ""}</span>
          <span class="ps-end">
            <Button kind="quiet" small expanded={open} onPress={() => setOpen(!open)}>
              {now < 0 ? `All ${steps.length} phases` : `Phase ${now + 1} of ${steps.length}`}
              <Icon name="down" />
            </Button>
          </span>
        </div>
        <div class="ps-segments" aria-hidden="true">
          {steps.map((step) => (
            <i key={step.name} class={`ps-${step.place} ps-${step.place === "now" ? hue : "ok"}`} />
          ))}
        </div>
        {open && list("ps-step-list")}
      </div>
    </>
  );
}
