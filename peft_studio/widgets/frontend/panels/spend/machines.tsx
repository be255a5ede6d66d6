// The machines that are there now, and the question before one is ended.
import { Button } from "../../ui/button";
import { Dialog } from "../../ui/dialog";
import { clock, fullTime } from "../../ui/format";
import { type Machine, machineName } from "./view";

interface MachinesProps {
  machines: Machine[];
  onEnd: (machine: Machine) => void;
  onRun: (id: string) => void;
}

export function MachinesSection({ machines, onEnd, onRun }: MachinesProps) {
  return (
    <div class="ps-sec" role="region" aria-label="Machines now">
      <header>
        <h3>Machines now</h3>
      </header>
      <ul class="ps-machines">
        {machines.map((one) => (
          <li key={one.key} data-key={one.key}>
            <span class="ps-which">
              <b>
                <bdi>{[one.provider, one.gpu].filter(Boolean).join(", ")}</bdi>
              </b>
              {one.run ? (
                <button type="button" class="ps-link" onClick={() => onRun(one.run)}>
                  <bdi>{one.run_name}</bdi>
                </button>
              ) : (
                <span class="ps-muted">{one.kind === "stray" ? "no run stands for it" : <bdi>{one.run_name}</bdi>}</span>
              )}
              <span class="ps-mono ps-muted" title={one.label}>
                <bdi>{one.id || one.label}</bdi>
              </span>
            </span>
            <span class="ps-how">
              <span dir="auto">{one.state}</span>
              <span class="ps-muted">
                {one.since_at !== null && <time title={fullTime(one.since_at)}>since {clock(one.since_at)}</time>}
                {one.until_at !== null && <time title={fullTime(one.until_at)}>gone by {clock(one.until_at)}</time>}
              </span>
              {one.trouble && (
                <span class="ps-trouble" dir="auto">
                  {one.trouble}
                </span>
              )}
            </span>
            <span class="ps-cost">
              <b>{one.rate}</b>
              <span class="ps-muted">{one.kind === "stray" ? one.per_day && `${one.per_day} a day` : `${one.spent} so far${one.note && `, ${one.note}`}`}</span>
            </span>
            <Button small icon="stop" label={`End ${machineName(one)}`} reason={one.leaving ? "Its end is asked for until its provider shows that it is gone" : undefined} onPress={() => onEnd(one)}>
              End…
            </Button>
          </li>
        ))}
      </ul>
    </div>
  );
}

/** Names the machine and what it costs an hour. */
export function EndDialog({ machine, onConfirm, onClose }: { machine: Machine; onConfirm: () => void; onClose: () => void }) {
  const stray = machine.kind === "stray";
  return (
    <Dialog
      title={`End ${machineName(machine)}?`}
      danger
      facts={[
        ["Name there", machine.label],
        ["It costs", machine.per_day ? `${machine.rate}, ${machine.per_day} a day` : "Its provider does not say"],
        ...(stray ? [] : [["So far", `${machine.spent} ${machine.note}`] as [string, string]]),
        ["What it does", stray ? `${machine.state}. Somebody may be using it` : machine.run_name ? `${machine.run_name}: ${machine.state}` : machine.state],
        ["What is lost", stray ? "All that is on it" : "What is on it and has not come home yet. To keep what was learned, use Stop and save in the step Run"],
        ["Afterwards", "Its end is asked for until the provider's own list has it no more"],
      ]}
      verb="End it"
      onConfirm={onConfirm}
      onClose={onClose}
    />
  );
}
