// The Models panel: search, results as they come, details, the choice. Its twin is widgets/models.py.
import { useRef } from "preact/hooks";
import type { Problem } from "../bridge/bridge";
import { useBridge, useCommands, useLocal, useUnique } from "../bridge/hooks";
import { definePanel } from "../bridge/panel";
import { Button } from "../ui/button";
import { count, gib } from "../ui/format";
import { PanelHead } from "../ui/head";
import { Icon } from "../ui/icon";
import { Notice } from "../ui/notice";
import { Skeleton } from "../ui/skeleton";
import "../ui/icons-more";
import "../ui/tokens.css";
import "../ui/kit.css";
import "./models/models.css";
import { DetailsSection } from "./models/details";
import { Filters } from "./models/filters";
import { Parts, Results } from "./models/results";
import { EVERYTHING, type ModelsView, narrow, type Narrowed, type Row } from "./models/view";

function ModelsPanel() {
  const bridge = useBridge();
  const commands = useCommands();
  const titleId = useUnique();
  const box = useRef<HTMLElement>(null);
  const view = bridge.sections as unknown as ModelsView;
  const [narrowed, setNarrowed] = useLocal<Narrowed>("narrowed", EVERYTHING);
  const problem = commands.problem ?? (bridge.sections["problem"] as Problem | null | undefined);
  if (!view.asked)
    return (
      <section class="ps ps-models" aria-labelledby={titleId}>
        <h2 id={titleId} class="ps-hidden">
          Models
        </h2>
        {problem ? <Trouble problem={problem} /> : <Skeleton said="Looking for models" />}
      </section>
    );
  const rows = narrow(view.rows, narrowed);
  const open = (row: Row): unknown => commands.run("details", { registry: row.registry, model: row.id });
  const back = (): void => {
    const id = view.details?.id;
    void commands.run("close_details").then(() =>
      requestAnimationFrame(() => [...(box.current?.querySelectorAll<HTMLElement>(".ps-models-table .ps-open") ?? [])].find((one) => one.title === id || one.textContent === id)?.focus()),
    );
  };
  const busy = view.parts.some((part) => part.state === "asking" || part.state === "late");
  return (
    <section class="ps ps-models" aria-labelledby={titleId} ref={box}>
      <PanelHead icon="model" title="Models" titleId={titleId} code={view.code} context={<span role="status">{said(view, rows.length, busy)}</span>} />
      <Filters view={view} narrowed={narrowed} onNarrow={setNarrowed} onSearch={(asked) => commands.run("search", { ...asked })} onOrder={(sort) => commands.run("order", { sort })} />
      {view.parts.length > 0 && <Parts parts={view.parts} />}
      {view.offline && (
        <div class="ps-sec">
          <Notice hue="warn" icon="offline" fact={`Offline: ${view.offline}`}>
            <p class="ps-s">Models on this machine and Ollama's are there. Of other registries you see what they said before, with its age.</p>
          </Notice>
        </div>
      )}
      {problem && <Trouble problem={problem} />}
      {view.details ? (
        <DetailsSection view={view} onBack={back} onUse={() => commands.run("use", { registry: view.details!.registry, model: view.details!.id })} onNext={() => commands.run("go_on")} />
      ) : (
        <>
          {rows.length > 0 ? (
            <div class="ps-sec ps-found" aria-busy={busy}>
              <Results rows={rows} view={view} onOpen={open} />
            </div>
          ) : busy ? (
            <Skeleton said="The registries are asked" />
          ) : (
            <p class="ps-sec ps-muted ps-s">{view.rows.length ? `None of ${count(view.rows.length)} passes these filters.` : "No model of that name. Try fewer letters of it, or any task."}</p>
          )}
          <footer class="ps-foot ps-models-foot">
            <span>
              <Icon name="laptop" /> {view.machine.free_bytes === null ? "free memory not known" : `${gib(view.machine.free_bytes)}\u202fGiB free here`}. In this list fit is told by the weights alone until a model's details were here; they have the estimate.
            </span>
            {!view.searched && (
              <Button onPress={() => commands.run("search", { ...view.asked })}>
                Show the most downloaded
              </Button>
            )}
            {view.parts.some((part) => part.more) && <Button onPress={() => commands.run("more")}>Show more</Button>}
          </footer>
        </>
      )}
    </section>
  );
}

/** What is announced: that it goes on, and how much there is. */
function said(view: ModelsView, shown: number, busy: boolean): string {
  if (!view.searched) return "on this machine; nothing was asked elsewhere yet";
  const found = shown === view.rows.length ? `${count(shown)} found` : `${count(shown)} of ${count(view.rows.length)} shown`;
  return busy ? `${found} so far` : found;
}

function Trouble({ problem }: { problem: Problem }) {
  return (
    <div class="ps-sec">
      <Notice hue="error" urgent fact={problem.message}>
        {problem.hint && <p class="ps-s" dir="auto">{problem.hint}</p>}
      </Notice>
    </div>
  );
}

export default definePanel(() => null, ModelsPanel);
