// The Chat panel: a base model and adapters on one prompt. Its twin is widgets/chat.py.
import type { Bridge, Problem } from "../bridge/bridge";
import { useBridge, useCommands, useLocal, useUnique } from "../bridge/hooks";
import { definePanel } from "../bridge/panel";
import { Button } from "../ui/button";
import * as format from "../ui/format";
import { PanelHead } from "../ui/head";
import { Icon } from "../ui/icon";
import { Notice } from "../ui/notice";
import { Skeleton } from "../ui/skeleton";
import "../ui/icons-more";
import "../ui/tokens.css";
import "../ui/kit.css";
import "./chat/chat.css";
import { Composer } from "./chat/composer";
import { SettingsSection } from "./chat/settings";
import { SetupSection } from "./chat/setup";
import { Conversation } from "./chat/turns";
import type { ChatView } from "./chat/view";
import { manner } from "./chat/view";

/** Answers' texts as they grow: [answer, where to put it, text]. */
class Texts {
  readonly of = new Map<number, string>();

  constructor(bridge: Bridge) {
    bridge.onStream<[number, number, string][]>("texts", (grown, _, full) => {
      if (full) this.of.clear();
      for (const [number, at, text] of grown) this.of.set(number, (this.of.get(number) ?? "").slice(0, at) + text);
    });
  }
}

function ChatPanel({ state: texts }: { state: Texts }) {
  const bridge = useBridge();
  const commands = useCommands();
  const titleId = useUnique();
  const [settings, setSettings] = useLocal("settings", false);
  const view = bridge.sections as unknown as ChatView;
  if (!view.setup)
    return (
      <section class="ps ps-chat" aria-labelledby={titleId}>
        <h2 id={titleId} class="ps-hidden">
          Chat
        </h2>
        <Skeleton said="Looking for models and adapters" />
      </section>
    );
  const problem = commands.problem ?? (bridge.sections["problem"] as Problem | null | undefined);
  const busy = view.busy !== null;
  return (
    <section class="ps ps-chat" aria-labelledby={titleId}>
      <PanelHead icon="chat" title="Chat" titleId={titleId} context={<Loaded view={view} />} code={view.code || undefined}>
        {view.turns.length > 0 && (
          <Button icon="plus" reason={busy ? "An answer is still being written" : undefined} onPress={() => void commands.run("clear")}>
            New conversation
          </Button>
        )}
        <Button icon="sliders" expanded={settings} onPress={() => setSettings(!settings)}>
          Settings
        </Button>
      </PanelHead>
      <FactsLine view={view} />
      {settings && <SettingsSection settings={view.settings} process={view.process} busy={busy} />}
      <SetupSection setup={view.setup} busy={busy} />
      {problem && (
        <div class="ps-sec">
          <Notice hue="error" urgent fact={problem.message} actions={commands.problem && <Button small kind="quiet" onPress={commands.dismiss}>Dismiss</Button>}>
            {problem.hint && <p class="ps-s" dir="auto">{problem.hint}</p>}
          </Notice>
        </div>
      )}
      <Conversation turns={view.turns} texts={texts.of} />
      <Composer view={view} />
      <p class="ps-hidden" role="status">
        {said(view)}
      </p>
    </section>
  );
}

function Loaded({ view: { process, setup } }: { view: ChatView }) {
  if (process.state === "opening")
    return (
      <span class="ps-state" data-state="opening">
        <Icon name="open" hue="info" turning />
        Loading the base model, {format.duration(process.opening_s)}
      </span>
    );
  if (process.state === "open")
    return (
      <span class="ps-state" data-state="open">
        <Icon name="check" hue="ok" />
        Loaded
      </span>
    );
  return <span data-state="closed">{setup.model ? "loads with the first prompt" : ""}</span>;
}

function FactsLine({ view: { setup, process, settings } }: { view: ChatView }) {
  const open = process.state === "open";
  return (
    <p class="ps-sub">
      <span>
        <Icon name="model" />
        <bdi class="ps-cut" title={setup.model ?? ""}>
          {setup.title ?? "No base model yet"}
          {open && process.precision && `, ${process.precision}`}
        </bdi>
      </span>
      {open && (
        <span title={process.load_s === null ? "" : `Loaded once, in ${format.duration(process.load_s, true)}`}>
          <Icon name="laptop" />
          {format.gib(process.memory_bytes)}
          {"\u202f"}GiB on this machine
        </span>
      )}
      {open && process.resident > 0 && (
        <span>
          {process.resident} {process.resident === 1 ? "adapter" : "adapters"}, swapped without reloading
        </span>
      )}
      {open && process.note && <span dir="auto">{process.note}</span>}
      <span class="ps-manner">{manner(settings)}</span>
    </p>
  );
}

/** What is announced: states, not numbers. */
function said({ process, busy, turns }: ChatView): string {
  if (process.state === "opening") return "Loading the base model";
  if (busy) return busy === "stopping" ? "Stopping" : "Answering";
  const last = turns.at(-1);
  if (!last) return "";
  return last.problem || last.answers.some((answer) => answer.state === "failed") ? "Not all could answer" : "Answered";
}

export default definePanel((bridge) => new Texts(bridge), ChatPanel);
