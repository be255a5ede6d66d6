// The preflight: a verdict, then each problem with its fix where the problem is.
import type { useCommands } from "../../bridge/hooks";
import { Button } from "../../ui/button";
import { Badge } from "../../ui/field";
import { Icon, type IconName } from "../../ui/icon";
import { blocking, type ProblemView, type TrainView } from "./view";

const LOOKS = { blocking: ["error", "error"], warning: ["warn", "warn"], info: ["info", "info"] } as const satisfies Record<ProblemView["severity"], [IconName, string]>;

export function Checks({ view, commands }: { view: TrainView; commands: ReturnType<typeof useCommands> }) {
  const { preflight } = view;
  const again = { label: "Check again", onPress: () => void commands.run("try_again") };
  return (
    <div class="ps-sec ps-before" aria-busy={preflight.busy}>
      <header>
        <h3>Before you start</h3>
        <Verdict view={view} />
        {preflight.state !== "none" && (
          <span class="ps-end">
            <Button kind="quiet" small reason={preflight.busy ? "Checking" : undefined} onPress={again.onPress}>
              {preflight.busy ? "Checking" : again.label}
            </Button>
          </span>
        )}
      </header>
      {preflight.state === "none" && <p class="ps-s ps-muted">Checked as soon as there is a model and data.</p>}
      {preflight.state === "ready" && !preflight.problems.length && (
        <p class="ps-row ps-s">
          <Icon name="tick" hue="ok" />
          Nothing stands in the way.
        </p>
      )}
      <ul class="ps-checks">
        {preflight.problems.map((one, at) => (
          <Check key={`${one.code}-${at}`} problem={one} commands={commands} />
        ))}
      </ul>
    </div>
  );
}

function Check({ problem, commands }: { problem: ProblemView; commands: ReturnType<typeof useCommands> }) {
  const [icon, hue] = LOOKS[problem.severity];
  return (
    <li>
      <Icon name={icon} hue={hue} />
      <div>
        <p dir="auto">
          <span class="ps-hidden">{problem.severity}: </span>
          {problem.message}
        </p>
        <p class="ps-muted" dir="auto">
          {problem.fix}
        </p>
        {problem.button && (
          <Button small onPress={() => void commands.run("apply", { changes: problem.changes })}>
            {problem.button}
          </Button>
        )}
      </div>
    </li>
  );
}

export function Verdict({ view }: { view: TrainView }) {
  const stops = blocking(view);
  if (view.preflight.state === "ready") return <Badge hue="ok" icon="check">Ready</Badge>;
  if (view.preflight.state === "not_ready") return <Badge hue="error" icon="error">{`Not ready, ${stops} ${stops === 1 ? "problem" : "problems"}`}</Badge>;
  return view.preflight.state === "checking" ? <Badge hue="muted" icon="open">Checking</Badge> : null;
}
