// The Runs panel. Its twin is widgets/runs.py.
import { useRef } from "preact/hooks";
import type { Problem } from "../bridge/bridge";
import { useBridge, useCommands, useLocal, useNow, useUnique } from "../bridge/hooks";
import { definePanel } from "../bridge/panel";
import { Button } from "../ui/button";
import { Empty } from "../ui/empty";
import { count } from "../ui/format";
import { PanelHead } from "../ui/head";
import { Notice } from "../ui/notice";
import { Skeleton } from "../ui/skeleton";
import { Table } from "../ui/table";
import "../ui/icons-more";
import "../ui/tokens.css";
import "../ui/kit.css";
import "./runs/runs.css";
import { buildColumns, noteOf } from "./runs/columns";
import { CompareSection } from "./runs/compare";
import { Filters } from "./runs/filters";
import { type Picked, PickedBar } from "./runs/picked";
import { nameOf, type RunLine, type RunsView } from "./runs/view";

const MOST = 8; // series that can be told apart

function RunsPanel() {
  const bridge = useBridge();
  const commands = useCommands();
  const titleId = useUnique();
  const box = useRef<HTMLElement>(null);
  const view = bridge.sections as unknown as RunsView;
  const problem = commands.problem ?? (bridge.sections["problem"] as Problem | null | undefined);
  const [picked, setPicked] = useLocal<Record<string, Picked>>("picked", {});
  const now = useNow(Boolean(view.page?.rows.some((run) => run.silent_since !== null)));
  // A run may have gone on since it was picked.
  const fresh = new Map(view.page?.rows.map((run) => [run.id, run]));
  const chosen = Object.values(picked).map((one) => ({ ...one, ...pick(fresh.get(one.id)) }));
  const onSelect = (run: RunLine, on: boolean): void => {
    const { [run.id]: _, ...others } = picked;
    setPicked(on ? { ...others, [run.id]: pick(run) as Picked } : others);
  };
  const onDeleted = (): void => {
    setPicked({});
    // The row in the tab order may be the one that goes: first the list is drawn without it, then one is focused.
    const focus = (): void => box.current?.querySelector<HTMLElement>('tr[tabindex="0"]')?.focus();
    requestAnimationFrame(() => requestAnimationFrame(focus));
  };
  return (
    <section class="ps ps-runs" ref={box} aria-labelledby={titleId}>
      {!view.page ? (
        problem ? <Trouble problem={problem} /> : <Skeleton said="Reading the runs" />
      ) : view.page.every === 0 ? (
        <Empty icon="list" title="Runs" titleId={titleId} text="No run has been started here yet. Runs appear in this list while they go on and stay when they have ended.">
          {view.can_train && (
            <Button kind="primary" icon="plus" onPress={() => void commands.run("new")}>
              New run
            </Button>
          )}
        </Empty>
      ) : (
        <>
          <PanelHead icon="list" title="Runs" titleId={titleId} code={view.code} context={<span role="status">{matches(view)}</span>}>
            {chosen.length > 1 ? (
              <Button
                kind="primary"
                icon="compare"
                reason={chosen.length > MOST ? `At most ${MOST} runs fit side by side.` : undefined}
                onPress={() => void commands.run("compare", { run_ids: chosen.map((one) => one.id) })}
              >
                Compare
              </Button>
            ) : (
              view.can_train && (
                <Button kind="primary" icon="plus" onPress={() => void commands.run("new")}>
                  New run
                </Button>
              )
            )}
          </PanelHead>
          <Filters view={view} onFilter={(wanted) => commands.run("filter", wanted)} />
          {chosen.length > 0 && <PickedBar picked={chosen} run={commands.run} onClear={() => setPicked({})} onDeleted={onDeleted} />}
          {problem && <Trouble problem={problem} />}
          {view.comparison && <CompareSection comparison={view.comparison} onClose={() => void commands.run("compare", { run_ids: [] })} />}
          {view.page.total === 0 ? (
            <p class="ps-sec ps-muted ps-s">No run matches. Clear the filters to see all {count(view.page.every)}.</p>
          ) : (
            <Table
              label="Runs"
              columns={buildColumns(view.sparks, now)}
              {...view.page}
              keyOf={(run) => run.id}
              nameOf={nameOf}
              note={noteOf}
              order={view.asked}
              selected={(run) => run.id in picked}
              current={(run) => run.id === view.chosen}
              epoch={JSON.stringify(view.asked)}
              onSort={(by, descending) => void commands.run("sort", { by, descending })}
              onSelect={onSelect}
              onOpen={(run) => void commands.run("open", { run_id: run.id })}
              onWindow={(start, rows) => commands.run("page", { start, count: rows })}
            />
          )}
          <footer class="ps-foot ps-runs-foot">
            <span>{view.page.total === 1 ? "1 run" : `${count(view.page.total)} runs`}, those on this machine without charge</span>
            <span class="ps-keys">
              <kbd>Space</kbd> selects, <kbd>Enter</kbd> opens
            </span>
          </footer>
        </>
      )}
    </section>
  );
}

function pick(run: RunLine | undefined): Picked | undefined {
  return run && { id: run.id, name: nameOf(run), state: run.state, live: run.live };
}

function matches({ page }: RunsView): string {
  return page.total === page.every ? `${count(page.every)}` : `${count(page.total)} of ${count(page.every)} match`;
}

function Trouble({ problem }: { problem: Problem }) {
  return (
    <Notice hue="error" urgent fact={problem.message}>
      <p class="ps-s">{problem.hint}</p>
    </Notice>
  );
}

export default definePanel(() => null, RunsPanel);
