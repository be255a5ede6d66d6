// The Train panel: the session's draft as a form. Its twin is widgets/train.py.
import { useRef, useState } from "preact/hooks";
import type { Problem } from "../bridge/bridge";
import { useBridge, useCommands, useLocal, useUnique } from "../bridge/hooks";
import { definePanel } from "../bridge/panel";
import { Button } from "../ui/button";
import { Input, Segmented } from "../ui/field";
import { count } from "../ui/format";
import { PanelHead } from "../ui/head";
import { Notice } from "../ui/notice";
import { Skeleton } from "../ui/skeleton";
import "../ui/icons-more";
import "../ui/tokens.css";
import "../ui/kit.css";
import "./train/train.css";
import { Basics } from "./train/basics";
import { Checks } from "./train/checks";
import { Estimates, inShort } from "./train/estimates";
import { Advanced } from "./train/fields";
import { ImportNotes, SpecFile } from "./train/files";
import { Sweep } from "./train/sweep";
import { blocking, obstacle, type TrainView } from "./train/view";

type Commands = ReturnType<typeof useCommands>;

function TrainPanel() {
  const bridge = useBridge();
  const commands = useOrdered(useCommands());
  const titleId = useUnique();
  const formId = useUnique();
  const [file, setFile] = useState<"import" | "export" | null>(null);
  const view = bridge.sections as unknown as TrainView;
  const problem = commands.problem ?? (bridge.sections["problem"] as Problem | null);
  if (!view.groups)
    return (
      <section class="ps ps-train" aria-label="Train">
        {problem ? <Notice hue="error" urgent fact={problem.message}><p class="ps-s">{problem.hint}</p></Notice> : <Skeleton said="Reading the draft" />}
      </section>
    );
  const toggle = (way: "import" | "export"): void => setFile(file === way ? null : way);
  return (
    <section class="ps ps-train" aria-labelledby={titleId}>
      <PanelHead icon="sliders" title="Train" titleId={titleId} code={view.code}>
        <Button kind="quiet" icon="download" expanded={file === "import"} onPress={() => toggle("import")}>Import…</Button>
        <Button kind="quiet" icon="upload" expanded={file === "export"} reason={view.fields["rank"] ? undefined : "There is nothing to export yet"} onPress={() => toggle("export")}>Export…</Button>
      </PanelHead>
      {file && <SpecFile key={file} way={file} commands={commands} onClose={() => setFile(null)} />}
      {(problem || view.notes.length > 0) && (
        <div class="ps-notices">
          {problem && (
            <Notice hue="error" urgent fact={problem.message} actions={commands.problem && <Button small onPress={commands.dismiss}>Dismiss</Button>}>
              <p class="ps-s">{problem.hint}</p>
            </Notice>
          )}
          {view.notes.length > 0 && <ImportNotes notes={view.notes} commands={commands} />}
        </div>
      )}
      <div class="ps-main">
        <div>
          <Basics view={view} formId={formId} commands={commands} />
          {view.fields["rank"] && <Settings view={view} formId={formId} commands={commands} />}
        </div>
        <aside aria-label="Estimates and checks">
          <Estimates view={view} />
          {view.sweep.shown && <Sweep sweep={view.sweep.shown} commands={commands} />}
          <Checks view={view} commands={commands} />
        </aside>
      </div>
      <Foot view={view} commands={commands} />
      <p class="ps-hidden" role="status">
        {said(view)}
      </p>
    </section>
  );
}

/** What is read out when it changes: the state, not its numbers. */
function said(view: TrainView): string {
  if (view.deriving.busy) return "Preparing the model";
  return { ready: "Ready", not_ready: `Not ready, ${blocking(view)} to settle`, checking: "", none: "" }[view.preflight.state];
}

/** Commands one after the other: a field that loses the focus to the launch button is set before the launch. */
function useOrdered(commands: Commands): Commands {
  const last = useRef<Promise<unknown>>(Promise.resolve());
  const run: Commands["run"] = (name, args) => {
    const next = last.current.then(() => commands.run(name, args));
    last.current = next.catch(() => null);
    return next;
  };
  return { ...commands, run };
}

/** Simple or advanced, what has been changed, and the fields that only the advanced view has. */
function Settings({ view, formId, commands }: { view: TrainView; formId: string; commands: Commands }) {
  const [detail, setDetail] = useLocal("detail", "simple");
  const [find, setFind] = useLocal("find", "");
  const changed = view.changed.length;
  return (
    <div class="ps-sec">
      <header>
        <Segmented value={detail} label="Detail" options={[{ value: "simple", title: "Simple" }, { value: "advanced", title: "Advanced" }]} onChange={setDetail} />
        <span class="ps-count" data-tip={view.changed.map((name) => view.fields[name]?.title).join(", ")}>
          <i class={`ps-dot${changed ? "" : " ps-dot-default"}`} />
          {changed} changed
        </span>
        <Button kind="quiet" small icon="reset" reason={changed ? undefined : "Every field has its default"} onPress={() => void commands.run("reset_all")}>
          Reset all
        </Button>
        {detail === "advanced" && (
          <span class="ps-end ps-find">
            <Input live icon="search" kind="search" value={find} label="Find a setting" placeholder="Find a setting" onChange={setFind} />
          </span>
        )}
      </header>
      {detail === "advanced" ? <Advanced view={view} formId={formId} find={find} commands={commands} /> : <ElsewhereErrors view={view} onShow={() => setDetail("advanced")} />}
    </div>
  );
}

/** A field that is out of sight and wrong must not be out of mind. */
function ElsewhereErrors({ view, onShow }: { view: TrainView; onShow: () => void }) {
  const simple = view.groups[0]?.fields ?? [];
  const wrong = Object.entries(view.fields).filter(([name, field]) => field.error && !simple.includes(name));
  if (!wrong.length) return <p class="ps-s ps-muted">Every other field follows from model, data and machine; Advanced shows them with their reasons.</p>;
  return (
    <Notice hue="error" fact={`${wrong.map(([, field]) => field.title).join(", ")}: a value that cannot be used`} actions={<Button small onPress={onShow}>Show</Button>} />
  );
}

function Foot({ view, commands }: { view: TrainView; commands: Commands }) {
  const starting = useBridge().pending.some((one) => one.name === "launch");
  const [started, setStarted] = useState("");
  const launch = async (): Promise<void> => {
    const run = (await commands.run("launch")) as { run_id: string } | null;
    setStarted(run?.run_id ?? "");
  };
  const reason = starting ? "Starting" : obstacle(view);
  const rows = view.data ? `${count(view.data.rows)} rows, ` : "";
  return (
    <footer class="ps-foot">
      <span class="ps-grow">
        {reason ?? (started ? `Started ${started}, shown in the step Run` : inShort(view) || `${rows}${view.fields["epochs"]?.hint ?? ""}.`)}
      </span>
      <Button kind="primary" icon="play" reason={reason} onPress={launch}>
        Train on this machine
      </Button>
    </footer>
  );
}

export default definePanel(() => null, TrainPanel);
