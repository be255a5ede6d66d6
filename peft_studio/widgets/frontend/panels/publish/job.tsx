// A push under way, and what came of it.
import type { ComponentChildren } from "preact";
import { useEffect, useRef } from "preact/hooks";
import { Button, CopyButton } from "../../ui/button";
import { count, duration, fileSize, fullTime, began } from "../../ui/format";
import { Icon, type IconName, type Hue } from "../../ui/icon";
import { Meter } from "../../ui/meter";
import { Notice } from "../../ui/notice";
import { files, type Job, type Run, seenBy } from "./view";

interface JobProps {
  job: Job;
  now: number;
  /** It was begun on this page: then the focus comes here. */
  focus: boolean;
  run: Run;
  onLeave: () => void;
}

export function JobSection({ job, now, focus, run, onLeave }: JobProps) {
  const title = useRef<HTMLHeadingElement>(null);
  useEffect(() => void (focus && title.current?.focus()), []);
  const [words, icon, hue] = headline(job);
  return (
    <div class="ps-sec ps-job" data-stage={job.stage}>
      <header>
        <Icon name={icon} hue={hue} turning={icon === "open"} />
        <h3 ref={title} tabIndex={-1} dir="auto">
          {words}
        </h3>
      </header>
      <p class="ps-s ps-muted" dir="auto">
        <bdi>{job.repo}</bdi> at <bdi>{job.title}</bdi>: {files(job.files)}, {fileSize(job.size_bytes)}, {seenBy(job)}
        {job.revision && (
          <>
            , revision <span class="ps-mono" title={job.revision}>{job.revision.slice(0, 12)}</span>
          </>
        )}
      </p>
      <Outcome job={job} now={now} run={run} onLeave={onLeave} />
    </div>
  );
}

/** For the head of the panel, where it is announced. */
export const SHORT: Record<Job["stage"], string> = {
  looking: "reading the files",
  asking: "asking the adapter",
  sending: "sending",
  published: "published",
  bundled: "folder made",
  queued: "waits in the outbox",
  dropped: "dropped",
  cancelled: "called off",
  changed: "changed, not sent",
  failed: "not published",
};

function headline(job: Job): [string, IconName, Hue] {
  if (job.stage === "looking") return ["Reading the files once more", "open", "info"];
  if (job.stage === "asking") return ["Asking the adapter what it answers", "open", "info"];
  if (job.stage === "sending") return [job.cancelling ? "Cancelling" : "Sending", "open", "accent"];
  if (job.stage === "published") return [job.already ? "It was there already; nothing was changed" : "Published", "check", "ok"];
  if (job.stage === "bundled") return ["The folder is ready; nothing has been uploaded", "folder", "ok"];
  if (job.stage === "queued") return ["Waits in the outbox", "offline", "warn"];
  if (job.stage === "dropped") return ["Dropped from the outbox; nothing was sent", "stopped", "muted"];
  if (job.stage === "cancelled") return ["Called off", "stopped", "muted"];
  if (job.stage === "changed") return ["Something has changed since you confirmed; nothing was sent", "warn", "warn"];
  return ["Not published", "error", "error"];
}

function Outcome({ job, now, run, onLeave }: Omit<JobProps, "focus">) {
  if (job.stage === "looking" || job.stage === "asking" || job.stage === "sending") return <Going job={job} now={now} run={run} />;
  if (job.stage === "published" || job.stage === "bundled") return <Done job={job} onLeave={onLeave} />;
  const again = <Button icon="retry" onPress={() => run("publish", { plan_id: job.id })}>Try again</Button>;
  const back = <Button kind="quiet" onPress={onLeave}>Back</Button>;
  if (job.stage === "queued")
    return (
      <>
        <p dir="auto">
          No network: <bdi>{job.why.replace(/[.:\s]+$/, "")}</bdi>. It goes by itself when that is back, also from another notebook of this home.
        </p>
        {job.entry && (
          <p class="ps-s ps-muted" title={fullTime(job.entry.since)}>
            In the outbox since {began(job.entry.since)}
            {job.entry.tries > 0 && `, tried ${count(job.entry.tries)} ${job.entry.tries === 1 ? "time" : "times"}`}
          </p>
        )}
        <Acts>
          <Button onPress={() => run("go", { panel: "connect" })}>Show the outbox</Button>
          {back}
        </Acts>
      </>
    );
  if (job.stage === "failed")
    return (
      <>
        {job.problem && (
          <Notice hue="error" urgent fact={job.problem.message}>
            {job.problem.hint && <p class="ps-s" dir="auto">{job.problem.hint}</p>}
            {job.problem.steps.length > 0 && (
              <ol class="ps-s ps-ways">
                {job.problem.steps.map((step) => (
                  <li key={step}>{step}</li>
                ))}
              </ol>
            )}
          </Notice>
        )}
        <Acts>
          {again}
          <Button onPress={() => run("go", { panel: "connect" })}>Connect…</Button>
          {back}
        </Acts>
      </>
    );
  if (job.stage === "changed")
    return (
      <>
        <p>The adapter, its card or its settings are not those that were shown. Look at them again before they go.</p>
        <Acts>
          <Button kind="primary" onPress={onLeave}>
            Look at it again
          </Button>
        </Acts>
      </>
    );
  return (
    <>
      <p>{job.stage === "cancelled" ? "Whole files that have arrived there are not sent again." : "It was taken out of the outbox by hand."}</p>
      <Acts>
        {again}
        {back}
      </Acts>
    </>
  );
}

function Going({ job, now, run }: { job: Job; now: number; run: Run }) {
  const text = `${fileSize(job.sent_bytes)} of ${fileSize(job.size_bytes)}`;
  return (
    <>
      <Meter label="Sent" value={job.sent_bytes} total={job.size_bytes} text={text} />
      <p class="ps-row ps-s">
        <span>
          {text} <span class="ps-muted">{duration(Math.max(0, now / 1000 - job.began_at))}</span>
        </span>
        <span class="ps-end">
          <Button icon="stop" reason={job.cancelling ? "It ends at the next piece" : undefined} onPress={() => run("cancel")}>
            {job.cancelling ? "Cancelling" : "Cancel"}
          </Button>
        </span>
      </p>
    </>
  );
}

function Done({ job, onLeave }: { job: Job; onLeave: () => void }) {
  return (
    <>
      {job.url && (
        <p class="ps-row ps-page">
          <a href={job.url} target="_blank" rel="noopener noreferrer">
            <bdi>{job.url}</bdi>
          </a>
          <CopyButton bare text={job.url} label="Copy the address" />
        </p>
      )}
      {job.folder && (
        <p class="ps-row ps-page">
          <code>{job.folder}</code>
          <CopyButton bare text={job.folder} label="Copy the folder's path" />
        </p>
      )}
      {job.folder ? (
        <ol class="ps-ways">
          {job.lines.map((line) => (
            <li key={line} dir="auto">{line.replace(/^\d+\. /, "")}</li>
          ))}
        </ol>
      ) : (
        job.lines.length > 0 && (
          <ul class="ps-lines" aria-label="How others get it">
            {job.lines.map((line) => (
              <li key={line}>
                <code>{line}</code>
                <CopyButton bare text={line} label={`Copy ${line}`} />
              </li>
            ))}
          </ul>
        )
      )}
      <Acts>
        <Button onPress={onLeave}>Publish elsewhere</Button>
      </Acts>
    </>
  );
}

function Acts({ children }: { children: ComponentChildren }) {
  return <p class="ps-row ps-tight ps-job-acts">{children}</p>;
}
