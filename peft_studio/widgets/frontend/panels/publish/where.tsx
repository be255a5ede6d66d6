// Which run, where to, under which name, and who will see it.
import { useNow, usePicked, useUnique } from "../../bridge/hooks";
import { Button } from "../../ui/button";
import { Input, Segmented, Select } from "../../ui/field";
import { FormField } from "../../ui/form-field";
import { duration, method } from "../../ui/format";
import { type Hue, Icon, type IconName } from "../../ui/icon";
import { Notice } from "../../ui/notice";
import type { Finding, PublishView, Run, Target } from "./view";

const SEEN = [{ value: "private", title: "Only you" }, { value: "public", title: "Everybody" }];
const STATES: Record<Target["state"], [word: string, icon: IconName, hue: Hue]> = {
  connected: ["Connected", "check", "ok"],
  "not connected": ["Not connected", "todo", "muted"],
  failed: ["Failing", "error", "error"],
  refused: ["Not accepted", "error", "error"],
  "by hand": ["By hand, in a browser", "info", "muted"],
  impossible: ["Not possible", "stopped", "muted"],
};

export function RunLine({ view, run }: { view: PublishView; run: Run }) {
  const id = useUnique();
  const options = view.runs.map((one) => ({ value: one.id, title: `${one.title}, ${method(one.method)}` }));
  const chosen = view.runs.find((one) => one.id === view.run);
  if (!chosen) options.unshift({ value: "", title: "Choose a run" });
  return (
    <div class="ps-sub ps-run-line">
      <label for={id}>Run</label>
      <Select id={id} label="Run" value={view.run ?? ""} options={options} onChange={(run_id) => void (run_id && run("choose_run", { run_id }))} />
      {chosen ? (
        <span>
          <Icon name="model" />
          <bdi class="ps-cut" title={chosen.model}>
            {chosen.model.split(/[\\/]/).at(-1)}
          </bdi>
        </span>
      ) : (
        <span>The run chosen elsewhere has no adapter. Choose one that has.</span>
      )}
    </div>
  );
}

export function WhereSection({ view, run }: { view: PublishView; run: Run }) {
  const group = useUnique();
  const [to, pick] = usePicked(view.to ?? "", (name) => void run("choose_target", { to: name }));
  const target = view.targets.find((one) => one.name === view.to);
  return (
    <div class="ps-sec">
      <header>
        <h3 tabIndex={-1} class="ps-where-head">
          Where to
        </h3>
      </header>
      <div class="ps-targets" role="radiogroup" aria-label="Where to">
        {view.targets.map((one) => (
          <TargetRow key={one.name} target={one} group={group} offline={view.offline} picked={to === one.name} onPick={() => pick(one.name)} onConnect={() => run("go", { panel: "connect" })} />
        ))}
      </div>
      {view.targets.length === 0 && <p class="ps-s ps-muted">No registry is switched on. The step Connect has them.</p>}
      {target && target.state !== "impossible" && view.run && <Form view={view} target={target} run={run} />}
    </div>
  );
}

function TargetRow({ target, group, offline, picked, onPick, onConnect }: { target: Target; group: string; offline: string; picked: boolean; onPick: () => void; onConnect: () => unknown }) {
  const id = useUnique();
  const waits = offline !== "" && !target.local && target.state === "connected";
  const known: [string, IconName, Hue] = target.local && !target.account ? ["On this machine", "laptop", "muted"] : STATES[target.state];
  const [word, icon, hue] = waits ? (["Offline", "offline", "warn"] as const) : known;
  const note = waits ? `It will wait in the outbox: ${offline}.` : target.why || (target.account && target.account.name !== "nobody" ? `as ${target.account.name}` : "");
  return (
    <div data-name={target.name} data-state={waits ? "offline" : target.state}>
      <input id={id} type="radio" name={group} checked={picked} disabled={target.state === "impossible"} aria-describedby={`${id}-note`} onChange={onPick} />
      <label for={id}>
        <bdi>{target.title}</bdi>
      </label>
      <span id={`${id}-note`} class="ps-target-note">
        <span class="ps-state">
          <Icon name={icon} hue={hue} />
          {word}
        </span>
        {note && <span class="ps-muted" dir="auto">{note}</span>}
      </span>
      {(target.state === "not connected" || target.state === "refused") && (
        <Button small label={`Connect, ${target.title}`} onPress={onConnect}>
          Connect
        </Button>
      )}
    </div>
  );
}

function Form({ view, target, run }: { view: PublishView; target: Target; run: Run }) {
  const id = useUnique();
  const { form } = view;
  const set = (name: string, value: unknown): Promise<unknown> => run("set_option", { option: name, value });
  const visible = !target.local && target.state !== "by hand";
  const unnamed = form.base !== "" || view.plan.shown?.problems.some((one) => one.code === "base_unnamed");
  return (
    <div class="ps-form ps-publish-form">
      <FormField id={`${id}-repo`} label="Name there" hint={visible ? "owner/name, as its page will be called" : ""}>
        <span class="ps-wide">
          <Input id={`${id}-repo`} label="Name there" value={form.repo} describedBy={visible ? `${id}-repo-hint` : undefined} onChange={(value) => set("repo", value)} />
        </span>
      </FormField>
      {visible && (
        <FormField id={`${id}-seen`} label="Who sees it" group note={form.private ? undefined : <b>Anybody can download it, and copies stay.</b>}>
          <Segmented label="Who sees it" value={form.private ? "private" : "public"} options={SEEN} onChange={(value) => void set("private", value === "private")} />
        </FormField>
      )}
      {form.asks_base && (
        <FormField id={`${id}-from`} label="Base in Ollama" hint="The very model it was trained on, by the name that ollama list shows. F16 answers alike, a quantised one often not">
          <span class="ps-wide">
            <Input id={`${id}-from`} label="Base in Ollama" placeholder="smollm2:135m" value={form.from_model} describedBy={`${id}-from-hint`} onChange={(value) => set("from_model", value)} />
          </span>
        </FormField>
      )}
      {form.asks_base && (
        <FormField id={`${id}-compare`} label="Answers" group>
          <label class="ps-check">
            <input type="checkbox" checked={form.compare} onChange={(event) => void set("compare", (event.target as HTMLInputElement).checked)} />
            Keep it only if it answers as the adapter does
          </label>
        </FormField>
      )}
      {unnamed && (
        <FormField id={`${id}-base`} label="Base on the hub" hint="The run knows only a folder of this machine; others need a name: org/name">
          <span class="ps-wide">
            <Input id={`${id}-base`} label="Base on the hub" placeholder="org/name" value={form.base} describedBy={`${id}-base-hint`} onChange={(value) => set("base", value)} />
          </span>
        </FormField>
      )}
      {visible && target.account && <Rights view={view} account={target.account} run={run} />}
    </div>
  );
}

/** What the account may, as it was last heard. */
function Rights({ view, account, run }: { view: PublishView; account: NonNullable<Target["account"]>; run: Run }) {
  const now = useNow(true);
  const id = useUnique();
  const age = `asked ${duration(Math.max(0, now / 1000 - account.checked_at))} ago`;
  const [icon, hue, word] = account.can_write === null ? (["info", "muted", "Not told"] as const) : account.can_write ? (["check", "ok", "May publish"] as const) : (["error", "error", "May not publish"] as const);
  return (
    <>
      <FormField id={id} label="This key" group>
        <span class="ps-state" data-right={String(account.can_write)}>
          <Icon name={icon} hue={hue} />
          {word}
        </span>
        <span class="ps-s ps-muted">{age}</span>
        <Button small icon="retry" label="Ask again what this key may" reason={view.offline ? "There is no network" : undefined} onPress={() => run("check")}>
          Ask again
        </Button>
      </FormField>
      <Findings findings={view.permission} />
    </>
  );
}

export function Findings({ findings }: { findings: Finding[] }) {
  return (
    <>
      {findings.map((one) => (
        <Notice key={one.code + one.message} hue={one.severity === "blocking" ? "error" : one.severity === "warning" ? "warn" : "info"} fact={one.message}>
          {one.fix && <p class="ps-s" dir="auto">{one.fix}</p>}
        </Notice>
      ))}
    </>
  );
}
