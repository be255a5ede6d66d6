// The Publish panel: where to, what goes, a confirmation, the push and what came of it. Its twin is widgets/publish.py.
import { useRef, useState } from "preact/hooks";
import type { Problem } from "../bridge/bridge";
import { useBridge, useCommands, useNow, useUnique } from "../bridge/hooks";
import { definePanel } from "../bridge/panel";
import { Button } from "../ui/button";
import { Dialog } from "../ui/dialog";
import { Empty } from "../ui/empty";
import { count, fileSize } from "../ui/format";
import { Trouble, Waiting } from "../ui/frame";
import { PanelHead } from "../ui/head";
import "../ui/icons-more";
import "../ui/tokens.css";
import "../ui/kit.css";
import "./publish/publish.css";
import { EarlierSection } from "./publish/earlier";
import { JobSection, SHORT } from "./publish/job";
import { type Plan, type PublishView, summary } from "./publish/view";
import { WhatSections } from "./publish/what";
import { RunLine, WhereSection } from "./publish/where";

function PublishPanel() {
  const bridge = useBridge();
  const commands = useCommands();
  const titleId = useUnique();
  const box = useRef<HTMLElement>(null);
  const pressed = useRef(false);
  const [asking, setAsking] = useState<Plan | null>(null);
  const view = bridge.sections as unknown as PublishView;
  const now = useNow(bridge.watched && view.job?.stage === "sending");
  const problem = commands.problem ?? (bridge.sections["problem"] as Problem | null | undefined);
  if (!view.runs)
    return (
      <section class="ps ps-publish" aria-labelledby={titleId}>
        <Waiting title="Publish" titleId={titleId} said="Looking for adapters and for places to publish them" problem={problem} />
      </section>
    );
  if (view.runs.length === 0)
    return (
      <section class="ps ps-publish" aria-labelledby={titleId}>
        <Empty icon="upload" title="Publish" titleId={titleId} text="Nothing can be published yet: no run here has an adapter. One that has completed, or was stopped and saved, has one.">
          <Button kind="primary" onPress={() => commands.run("go", { panel: "train" })}>
            Train one
          </Button>
          <Button kind="quiet" onPress={() => commands.run("go", { panel: "runs" })}>
            See the runs
          </Button>
        </Empty>
      </section>
    );
  const { job, plan } = view;
  const leave = async (): Promise<void> => {
    await commands.run("leave");
    requestAnimationFrame(() => box.current?.querySelector<HTMLElement>(".ps-where-head")?.focus());
  };
  const publish = (): void => {
    pressed.current = true;
    void commands.run("publish", { plan_id: asking!.id });
  };
  return (
    <section class="ps ps-publish" aria-labelledby={titleId} ref={box}>
      <PanelHead icon="upload" title="Publish" titleId={titleId} code={view.code} context={<span role="status">{job ? SHORT[job.stage] : plan.state === "busy" ? "reading the files" : "nothing sent yet"}</span>} />
      <RunLine view={view} run={commands.run} />
      {problem && <Trouble problem={problem} onDismiss={commands.problem ? commands.dismiss : undefined} />}
      {job ? (
        <JobSection job={job} now={now} focus={pressed.current} run={commands.run} onLeave={() => void leave()} />
      ) : (
        <>
          <WhereSection view={view} run={commands.run} />
          <WhatSections view={view} run={commands.run} />
          <EarlierSection earlier={view.earlier} />
          <footer class="ps-foot ps-publish-foot">
            <span dir="auto">{view.reason || !plan.shown ? view.reason : `${summary(plan.shown)}, to ${plan.shown.repo} at ${plan.shown.title}`}</span>
            <span class="ps-end ps-row">
              <Button kind="primary" icon="upload" reason={view.reason || undefined} onPress={() => setAsking(plan.shown)}>
                {plan.shown?.steps.length ? "Make the folder…" : "Publish…"}
              </Button>
            </span>
          </footer>
        </>
      )}
      {job && <EarlierSection earlier={view.earlier} />}
      {asking && <Confirm plan={asking} offline={view.offline} onConfirm={publish} onClose={() => setAsking(null)} />}
    </section>
  );
}

/** Names everything that will leave, and for whom. What is confirmed is this plan, by its id. */
function Confirm({ plan, offline, onConfirm, onClose }: { plan: Plan; offline: string; onConfirm: () => void; onClose: () => void }) {
  const byHand = plan.steps.length > 0;
  const seen = plan.local || byHand ? "It stays on this machine" : plan.private ? "Only you" : "Everybody. It can be copied by anyone before you take it away";
  const list = (
    <ul class="ps-dialog-files">
      {plan.files.map(([path, bytes]) => (
        <li key={path}>
          <bdi>{path}</bdi>
          <span class="ps-muted">{count(bytes)}</span>
        </li>
      ))}
      {plan.files_total > plan.files.length && <li>… and {count(plan.files_total - plan.files.length)} more</li>}
    </ul>
  );
  return (
    <Dialog
      title={byHand ? `Make a folder for ${plan.title}?` : `Publish ${plan.repo} to ${plan.title}?`}
      facts={[
        ["Where to", `${plan.repo} at ${plan.title}`],
        ["Who sees it", seen],
        ["Files", list],
        ["Together", `${count(plan.size_bytes)} bytes (${fileSize(plan.size_bytes)})`],
        ...(offline && !plan.local && !byHand ? [["When", "When the network is back: until then it waits in the outbox"] as [string, string]] : []),
        ...(plan.asked ? [["First", `${plan.asked} prompts are asked here and there; one different answer, and it is not kept`] as [string, string]] : []),
      ]}
      verb={byHand ? "Make the folder" : plan.private || plan.local ? "Publish" : "Publish for everybody"}
      onConfirm={onConfirm}
      onClose={onClose}
    />
  );
}

export default definePanel(() => null, PublishPanel);
