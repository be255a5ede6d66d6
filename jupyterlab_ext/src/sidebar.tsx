// The panel in the left rail: a head of its own, and under it the studio of the active notebook's kernel, drawn by that notebook's own
// widget manager as one more view of the model that its cell shows.
import type { Problem } from "@kit/bridge/bridge";
import { Button, IconButton } from "@kit/ui/button";
import { focusKeeper } from "@kit/ui/focus";
import { showTips } from "@kit/ui/tip";
import "@kit/ui/icons-more";
import { Notice } from "@kit/ui/notice";
import { Skeleton } from "@kit/ui/skeleton";
import { PathExt } from "@jupyterlab/coreutils";
import { Panel, Widget } from "@lumino/widgets";
import { render } from "preact";
import type { Follower } from "./follow";
import { HomeRuns } from "./home";
import { studioIcon } from "./icon";
import type { KernelLink, SeenRun } from "./link";
import { RunList } from "./runlist";
import { StudioView } from "./view";

export interface SidebarActions {
  newNotebook: () => void;
  showHere: () => void;
  /** In the studio of a notebook, else in a new one. */
  showRun: (run: SeenRun, link: KernelLink | null) => void;
}

export class Sidebar extends Panel {
  private head = new Widget();
  private view: StudioView | null = null;
  private home = new HomeRuns();

  constructor(
    private follower: Follower,
    private actions: SidebarActions,
  ) {
    super();
    this.id = "peft-studio-sidebar";
    this.title.icon = studioIcon;
    this.title.caption = "PEFT Studio";
    this.addClass("ps-side");
    this.addWidget(this.head);
    focusKeeper()(this.head.node);
    showTips(this.head.node);
    follower.changed.connect(() => this.update());
    this.home.changed.connect(() => this.update());
  }

  protected override onAfterShow(): void {
    this.update();
  }

  /** What is not seen is not drawn: it would be brought up to date ten times a second for nobody. */
  protected override onAfterHide(): void {
    this.update();
  }

  protected override onUpdateRequest(): void {
    const link = this.follower.current;
    const modelId = this.isVisible && link?.phase === "live" ? link.modelId : null;
    if (this.view && !(modelId === this.view.modelId && link?.panel === this.view.notebook)) {
      this.view.dispose();
      this.view = null;
    }
    if (!this.view && link && modelId) {
      this.view = new StudioView(link.panel, modelId, () => this.update());
      this.addWidget(this.view);
    }
    this.home.watch(this.isVisible && !link);
    render(<Head link={link} problem={this.view?.problem ?? link?.problem ?? null} runs={(link ? link.runs : this.home.runs) ?? []} actions={this.actions} />, this.head.node);
  }
}

interface HeadProps {
  link: KernelLink | null;
  problem: Problem | null;
  /** Of the notebook those that are going; without one the newest of the home. */
  runs: SeenRun[];
  actions: SidebarActions;
}

function Head({ link, problem, runs, actions }: HeadProps) {
  return (
    <div class="ps ps-side-head" role="region" aria-labelledby="peft-studio-sidebar-title">
      <div class="ps-head">
        <h2 id="peft-studio-sidebar-title">PEFT Studio</h2>
        {link && (
          <span class="ps-end ps-row ps-tight">
            <IconButton icon="insert" label="Show the studio in this notebook" onPress={actions.showHere} />
            <IconButton icon="plus" label="New Studio notebook" onPress={actions.newNotebook} />
          </span>
        )}
      </div>
      {link && (
        <p class="ps-sub">
          <span class="ps-cut" title={link.panel.context.path}>
            <bdi>{PathExt.basename(link.panel.context.path)}</bdi>
          </span>
          <span class="ps-end">{link.panel.sessionContext.kernelDisplayName}</span>
        </p>
      )}
      {problem && (
        <Notice hue="error" urgent fact={problem.message}>
          <p class="ps-s">{problem.hint}</p>
        </Notice>
      )}
      {link ? <Standing link={link} /> : <NoNotebook onNew={actions.newNotebook} />}
      <RunList title="Active runs" runs={runs.filter((run) => run.active)} onShow={(run) => actions.showRun(run, link)} />
      <RunList title="Recent" runs={runs.filter((run) => !run.active)} onShow={(run) => actions.showRun(run, link)} />
    </div>
  );
}

/** What stands where the studio will be. */
function Standing({ link }: { link: KernelLink }) {
  switch (link.phase) {
    case "waiting":
      return <Skeleton key="waiting" said="Waiting for the kernel. If a cell is running, for its end." />;
    case "starting":
      return <Skeleton key="starting" said="Opening the studio. If a cell is running, it may open when that ends." />;
    case "no-kernel":
      return <Words>This notebook has no kernel. Start one from the Kernel menu, and the studio can open here.</Words>;
    case "foreign":
      return <Words>PEFT Studio works in Python; this notebook's kernel speaks {link.language}.</Words>;
    case "none":
      return (
        <div class="ps-sec ps-empty">
          <p>Pick data, train and chat beside your notebook. The studio and your cells share one session.</p>
          <p class="ps-row">
            <Button kind="primary" onPress={() => void link.start()}>
              Start here
            </Button>
          </p>
          <p class="ps-muted ps-s">
            Or run <code class="ps-mono">studio.show()</code> in a cell: it shows here too.
          </p>
        </div>
      );
    case "live":
      return null;
  }
}

function NoNotebook({ onNew }: { onNew: () => void }) {
  return (
    <div class="ps-sec ps-empty">
      <p>The studio belongs to a notebook. Open one, or start with a new one.</p>
      <p class="ps-row">
        <Button kind="primary" onPress={onNew}>
          New Studio notebook
        </Button>
      </p>
    </div>
  );
}

function Words({ children }: { children: preact.ComponentChildren }) {
  return (
    <div class="ps-sec ps-empty">
      <p>{children}</p>
    </div>
  );
}
