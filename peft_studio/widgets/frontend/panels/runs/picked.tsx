// What can be done with the selected runs. Nothing is deleted before a dialog has said what is lost.
import { useState } from "preact/hooks";
import { Button } from "../../ui/button";
import { Dialog } from "../../ui/dialog";
import { count, fileSize } from "../../ui/format";

export interface Picked {
  id: string;
  name: string;
  state: string;
  live: boolean;
}

interface Weight {
  names: string[];
  bytes: number;
  checkpoints: number;
  adapters: number;
}

const RESUMABLE = ["stopped", "failed", "lost"];

interface PickedProps {
  picked: Picked[];
  run: (name: string, args?: Record<string, unknown>) => Promise<unknown>;
  onClear: () => void;
  onDeleted: () => void;
}

export function PickedBar({ picked, run, onClear, onDeleted }: PickedProps) {
  const [weight, setWeight] = useState<Weight | null>(null);
  const ids = picked.map((one) => one.id);
  const [only] = picked;
  const one = picked.length === 1;
  const live = picked.filter((each) => each.live);
  const weigh = async (): Promise<void> => setWeight((await run("weigh", { run_ids: ids })) as Weight | null);
  const remove = async (): Promise<void> => {
    if ((await run("delete", { run_ids: ids, confirmed: true })) !== null) onDeleted();
  };
  return (
    <div class="ps-sub ps-picked" role="group" aria-label="Selected runs">
      <span class="ps-strong" role="status">
        {one && only ? <bdi class="ps-cut">{only.name}</bdi> : `${count(picked.length)} selected`}
      </span>
      {one && only && (
        <>
          <Button small icon="retry" onPress={() => run("rerun", { run_id: only.id })}>
            Re-run
          </Button>
          <Button small icon="play" reason={RESUMABLE.includes(only.state) ? undefined : `${only.name} is ${only.state}; there is nothing to resume.`} onPress={() => run("resume", { run_id: only.id })}>
            Resume
          </Button>
        </>
      )}
      <Button small icon="trash" reason={live.length ? `${live.map((each) => each.name).join(", ")}: stop first, then delete.` : undefined} onPress={weigh}>
        Delete…
      </Button>
      <Button small kind="quiet" onPress={onClear}>
        Select none
      </Button>
      {weight && (
        <Dialog
          title={weight.names.length === 1 ? `Delete ${weight.names[0]}?` : `Delete ${weight.names.length} runs?`}
          facts={[
            [weight.names.length === 1 ? "Run" : "Runs", weight.names.join(", ")],
            ["Deleted", `${fileSize(weight.bytes)}: ${contents(weight)}`],
            ["Cannot come back", "All of it. The same numbers need the same run again."],
            ["Stays", "Base model and training data"],
          ]}
          verb="Delete"
          danger
          onConfirm={() => void remove()}
          onClose={() => setWeight(null)}
        />
      )}
    </div>
  );
}

const some = (number: number, word: string): string => `${count(number)} ${word}${number === 1 ? "" : "s"}`;

function contents(weight: Weight): string {
  return ["log and metrics", ...(weight.checkpoints ? [some(weight.checkpoints, "checkpoint")] : []), ...(weight.adapters ? [some(weight.adapters, "adapter")] : [])].join(", ");
}
