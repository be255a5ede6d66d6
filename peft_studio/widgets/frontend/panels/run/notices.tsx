// What needs a person: why the run failed and the ways on, its end, silence, anomalies, clicks that wait or went wrong.
import { useState } from "preact/hooks";
import { useBridge, useLocal, type useCommands } from "../../bridge/hooks";
import type { Problem } from "../../bridge/bridge";
import { Button, CopyButton } from "../../ui/button";
import * as format from "../../ui/format";
import { Notice } from "../../ui/notice";
import { Code } from "../../ui/code";
import { Ended } from "./ended";
import type { Change, Failure, RunView, Warning } from "./view";

const SHOWN = 2; // more fold away

interface NoticesProps {
  view: RunView;
  /** Seconds since a live run was last heard of, when that is too long; null otherwise. */
  silentFor: number | null;
  /** It is the kernel that says nothing, so nothing is known of the run. */
  kernelSilent: boolean;
  commands: ReturnType<typeof useCommands>;
  retry: Retry;
}

/** Start a new run with what a suggestion of the failure, or a warning, would change. */
export type Retry = (way: { suggestion: number } | { warning: number }) => void;

interface Started {
  id: string;
  code: string;
}

export function useRetry(commands: ReturnType<typeof useCommands>): Retry {
  const { pending } = useBridge();
  const [, setStarted] = useLocal<Started | null>("started", null);
  return (way) => {
    if (pending.some(({ name }) => name === "retry")) return; // a second click is not a second run
    void commands.run("retry", way).then((started) => setStarted(started as Started | null));
  };
}

export function Notices({ view, silentFor, kernelSilent, commands, retry }: NoticesProps) {
  const bridge = useBridge();
  const [started] = useLocal<Started | null>("started", null);
  const problem = commands.problem ?? (bridge.sections["problem"] as Problem | null | undefined);
  return (
    <>
      {problem && (
        <Notice hue="error" urgent fact={problem.message} actions={commands.problem && <Button small kind="quiet" onPress={commands.dismiss}>Dismiss</Button>}>
          {problem.hint && <p class="ps-s" dir="auto">{problem.hint}</p>}
        </Notice>
      )}
      {started && started.id !== view.head.id && (
        <Notice hue="ok" fact={`Started ${started.id}`}>
          {view.head.live && <p class="ps-s">It waits until the machine is free; this run goes on.</p>}
          <Code text={started.code} label="Python that shows the new run" />
        </Notice>
      )}
      <Ended view={view} />
      {view.head.trouble && (
        <Notice hue="warn" fact="Nothing more of it can be kept here">
          <p class="ps-s" dir="auto">{view.head.trouble}</p>
        </Notice>
      )}
      {silentFor !== null && (kernelSilent ? <NoKernel /> : <Silent view={view} silentFor={silentFor} />)}
      {view.head.state === "lost" && (
        <Notice hue="warn" icon="lost" fact="The run's process is gone">
          <p class="ps-s">
            It ended without a word, as after a power cut or when the system ends it for lack of memory. The log and the checkpoints are kept.
            Resume goes on from the newest one.
          </p>
        </Notice>
      )}
      <Warnings view={view} retry={retry} />
    </>
  );
}

function Silent({ view, silentFor }: { view: RunView; silentFor: number }) {
  return (
    <Notice hue="warn" icon="clock" fact={`The run has been silent for ${format.duration(silentFor)}`}>
      <p class="ps-s">
        It was {view.head.state} at step {format.count(view.progress.step)}. The numbers below are the last ones heard; the run may well go on.
      </p>
    </Notice>
  );
}

function NoKernel() {
  return (
    <Notice hue="warn" icon="clock" fact="The notebook's kernel says nothing">
      <p class="ps-s">The numbers below are the last ones heard. The run does not need the kernel; run this cell again to see how it stands.</p>
    </Notice>
  );
}

function Warnings({ view, retry }: { view: RunView; retry: Retry }) {
  const [dismissed, setDismissed] = useLocal<number[]>("dismissed", []);
  const [all, setAll] = useState(false);
  const open = view.warnings.filter((warning) => !dismissed.includes(warning.seq)).reverse();
  return (
    <>
      {open.slice(0, all ? undefined : SHOWN).map((warning) => (
        <Notice
          key={warning.seq}
          hue="warn"
          fact={warning.message}
          actions={
            <>
              <Way warning={warning} view={view} retry={retry} />
              <Button small kind="quiet" onPress={() => setDismissed([...dismissed, warning.seq])}>
                Dismiss
              </Button>
            </>
          }
        >
          <p class="ps-s" dir="auto">
            {warning.hint}
          </p>
        </Notice>
      ))}
      {open.length > SHOWN && (
        <p>
          <Button small kind="quiet" expanded={all} onPress={() => setAll(!all)}>
            {all ? "Fewer" : `${open.length - SHOWN} more`}
          </Button>
        </p>
      )}
    </>
  );
}

function Way({ warning: { seq, way }, view, retry }: { warning: Warning; view: RunView; retry: Retry }) {
  if (!way) return null;
  if (!view.can_retry) return <CopyButton text={way.code} label={way.title} />;
  return (
    <Button small label={`${way.title}: starts a new run${view.head.live ? ", this one goes on" : ""}`} onPress={() => retry({ warning: seq })}>
      {way.title}
    </Button>
  );
}

function Changes({ changes }: { changes: Change[] }) {
  return (
    <>
      {changes.map(([field, value]) => (
        <code key={field} class="ps-change">
          {field} = {value}
        </code>
      ))}
    </>
  );
}

export function FailureSection({ failure, canRetry, retry }: { failure: Failure; canRetry: boolean; retry: Retry }) {
  const lines = failure.trace.trimEnd().split("\n");
  return (
    <div class="ps-sec">
      <Notice hue="error" fact={failure.message}>
        {failure.hint && <p class="ps-s" dir="auto">{failure.hint}</p>}
      </Notice>
      {failure.suggestions.length > 0 && (
        <table class="ps-table ps-ways">
          <thead>
            <tr>
              <th>What would help</th>
              <th>Then</th>
              <th class="ps-hide-s">Changes</th>
              <th>
                <span class="ps-hidden">Do it</span>
              </th>
            </tr>
          </thead>
          <tbody>
            {failure.suggestions.map((way, index) => (
              <tr key={way.title}>
                <th scope="row">
                  <bdi>{way.title}</bdi>
                </th>
                <td dir="auto">{way.why}</td>
                <td class="ps-hide-s">
                  <Changes changes={way.changes} />
                </td>
                <td class="ps-num">
                  {canRetry ? (
                    <Button small {...(index === 0 ? { kind: "primary" as const } : {})} onPress={() => retry({ suggestion: index })}>
                      Run again
                    </Button>
                  ) : (
                    <CopyButton text={way.code} label="Copy code" />
                  )}
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
      {failure.trace && (
        <details class="ps-details" open>
          <summary>Trace, {lines.length} lines</summary>
          <pre class="ps-trace" tabIndex={0}>
            {failure.trace.trimEnd()}
          </pre>
        </details>
      )}
    </div>
  );
}
