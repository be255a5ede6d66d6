// Three learning rates tried in short runs: the question before they start, how they stand, and what they say.
import { useState } from "preact/hooks";
import { useBridge, type useCommands } from "../../bridge/hooks";
import { Button, IconButton } from "../../ui/button";
import { Dialog } from "../../ui/dialog";
import { loss } from "../../ui/format";
import { State } from "../../ui/state";
import { obstacle, type SweepView, type TrainView } from "./view";

type Commands = ReturnType<typeof useCommands>;

/** Beside the learning rate. */
export function TryRates({ view, commands }: { view: TrainView; commands: Commands }) {
  const [asking, setAsking] = useState(false);
  const starting = useBridge().pending.some((one) => one.name === "try_rates");
  const { plan, shown } = view.sweep;
  if (!plan) return null;
  const reason = starting ? "Starting" : shown && !shown.ended ? "Three rates are being tried" : obstacle(view);
  return (
    <>
      <Button kind="quiet" small reason={reason} onPress={() => setAsking(true)}>
        Try 3 rates…
      </Button>
      {asking && (
        <Dialog
          title="Try three learning rates?"
          facts={[
            ["Rates", plan.rates.join(", ")],
            ["Runs", `Three on this machine, one after the other, ${plan.steps} steps each`],
            ["What stays", "Your draft as it is. The runs stand in Runs like any others."],
          ]}
          verb="Start 3 runs"
          onConfirm={() => void commands.run("try_rates")}
          onClose={() => setAsking(false)}
        />
      )}
    </>
  );
}

/** The sweep that was started here. */
export function Sweep({ sweep, commands }: { sweep: SweepView; commands: Commands }) {
  return (
    <div class="ps-sec">
      <header>
        <h3>Learning rates</h3>
        <span class="ps-end">
          <IconButton icon="close" label="Put away the learning rates" onPress={() => void commands.run("dismiss_rates")} />
        </span>
      </header>
      <table class="ps-table">
        <thead>
          <tr>
            <th scope="col">Rate</th>
            <th scope="col">State</th>
            <th scope="col" class="ps-num">
              Loss
            </th>
          </tr>
        </thead>
        <tbody>
          {sweep.rows.map((row) => (
            <tr key={row.run}>
              <th scope="row">{row.rate}</th>
              <td>
                <State state={row.state} />
                {row.state === "training" && <span class="ps-muted"> {row.step} of {row.total}</span>}
              </td>
              <td class="ps-num">
                {loss(row.loss)}
                {row.noise ? <span class="ps-muted"> ± {loss(row.noise)}</span> : null}
              </td>
            </tr>
          ))}
        </tbody>
      </table>
      {sweep.verdict && (
        <div class="ps-sweep-said" role="status">
          <p class="ps-s" dir="auto">{sweep.verdict}</p>
          {sweep.button && (
            <Button small onPress={() => void commands.run("apply", { changes: sweep.changes })}>
              {sweep.button}
            </Button>
          )}
        </div>
      )}
    </div>
  );
}
