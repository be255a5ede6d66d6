// What stands first: the state, the name, and what can be done now. Stopping asks before it acts.
import { useState } from "preact/hooks";
import { useBridge, type useCommands } from "../../bridge/hooks";
import { Button, IconButton } from "../../ui/button";
import { Code } from "../../ui/code";
import { Dialog } from "../../ui/dialog";
import * as format from "../../ui/format";
import { State, stateWord } from "../../ui/state";
import { AgainDialog, againWords } from "./again";
import type { RunView } from "./view";

interface HeadProps {
  view: RunView;
  /** Seconds of silence of a live run; null while it is heard. */
  silentFor: number | null;
  titleId: string;
  commands: ReturnType<typeof useCommands>;
}

const RESUMABLE = new Set(["stopped", "failed", "lost"]);

export function Head({ view, silentFor, titleId, commands }: HeadProps) {
  const [asking, setAsking] = useState<"stop" | "save" | null>(null);
  const [going, setGoing] = useState(false);
  const [code, setCode] = useState(false);
  const waiting = useBridge().pending.map((one) => one.name);
  const { head } = view;
  const stopping = waiting.includes("stop") || head.stopping !== null;
  const reason = stopping ? "The run is already stopping" : undefined;
  return (
    <>
      <header class="ps-head">
        <State state={head.state} silentFor={silentFor} />
        <h2 id={titleId} class="ps-cut" title={head.name || head.id}>
          <bdi>{head.name || head.id}</bdi>
        </h2>
        {head.name && <span class="ps-mono ps-muted ps-hide-m">{head.id}</span>}
        <span class="ps-muted ps-s ps-cut" dir="auto">
          {detail(view)}
        </span>
        <span class="ps-end ps-row ps-tight">
          {head.live && (
            <>
              <Button icon="stop" reason={reason} onPress={() => setAsking("stop")}>
                Stop…
              </Button>
              <Button icon="stopsave" reason={reason} onPress={() => setAsking("save")}>
                Stop and save…
              </Button>
            </>
          )}
          {RESUMABLE.has(head.state) && (
            <Button
              icon="play"
              reason={waiting.includes("resume") ? "Resuming" : undefined}
              onPress={() => (view.again ? setGoing(true) : void commands.run("resume"))}
            >
              {view.again ? againWords(view.again) : "Resume"}
            </Button>
          )}
          <IconButton icon="code" label="Show code" expanded={code} onPress={() => setCode(!code)} />
        </span>
      </header>
      {code && (
        <Code text={view.code} label="The same in Python">
          <IconButton icon="close" label="Hide code" onPress={() => setCode(false)} />
        </Code>
      )}
      {asking && (
        <StopDialog
          view={view}
          save={asking === "save"}
          onClose={() => setAsking(null)}
          onConfirm={() => void commands.run("stop", { save: asking === "save" })}
        />
      )}
      {going && view.again && <AgainDialog again={view.again} name={head.name || head.id} commands={commands} onClose={() => setGoing(false)} />}
      <p class="ps-hidden" role="status">
        {silentFor === null ? stateWord(head) : "No sign of life from the run"}
      </p>
    </>
  );
}

function detail(view: RunView): string {
  const why = view.again?.short && view.again.cap ? `, its cap of ${view.again.cap} is used up` : "";
  return why && ["stopped", "failed"].includes(view.head.state) ? `${place(view)}${why}`.replace(/^, /, "") : place(view);
}

function place({ head, progress, failure }: RunView): string {
  if (head.stopping) return head.stopping === "save" ? "stopping, saves the adapter first" : "stopping";
  if (head.state === "failed") return failure?.step ? `in step ${format.count(failure.step)}` : "";
  if (head.state === "stopped") return progress.step ? `at step ${format.count(progress.step)}` : "before the first step";
  if (head.state === "lost") return head.heard_s === null ? "" : `silent for ${format.duration(head.heard_s)}`;
  return head.detail;
}

function StopDialog({ view, save, onConfirm, onClose }: { view: RunView; save: boolean; onConfirm: () => void; onClose: () => void }) {
  const { meter } = view;
  const step = format.count(view.progress.step);
  const newest = view.files.find((file) => file.name.startsWith("checkpoint-"));
  const lost = newest ? view.progress.step - newest.step : view.progress.step;
  const kept = save
    ? `An adapter of step ${step}, the checkpoints, the log and all numbers.`
    : newest
      ? `${newest.name}, the log and all numbers. No adapter is made.`
      : "The log and all numbers. No checkpoint has been saved yet, and no adapter is made.";
  const facts: [string, string][] = [
    ["What is kept", kept],
    ["What is lost", save || lost <= 0 ? "Nothing." : `What was learned in the last ${format.count(lost)} steps.`],
    ["Afterwards", newest || save ? "Resume goes on from the newest checkpoint." : "The run can only start from the beginning."],
    ["Billing", meter ? `${meter.spent} so far${meter.rate ? `, ${meter.rate} until its machine is gone` : ""}. ${save ? "The machine is ended once the adapter is here" : "The machine is ended at once"}.` : "No charge on this machine, now or later."],
  ];
  const title = save ? `Stop ${view.head.name || view.head.id} and save it?` : `Stop ${view.head.name || view.head.id}?`;
  return <Dialog title={title} facts={facts} verb={save ? "Stop and save" : "Stop"} danger={!save} onConfirm={onConfirm} onClose={onClose} />;
}
