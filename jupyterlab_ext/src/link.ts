// One notebook and the studio of its kernel. Knows when there is a kernel, a studio, none, or one on its way; draws nothing.
import { Bridge, type Problem } from "@kit/bridge/bridge";
import type { ISessionContext } from "@jupyterlab/apputils";
import type { NotebookPanel } from "@jupyterlab/notebook";
import type { Kernel } from "@jupyterlab/services";
import { Signal } from "@lumino/signaling";
import { openComm } from "./comm";
import { startStudio } from "./start";

export const TARGET = "peft_studio"; // widgets/_sidebar.py opens a comm on it
const RESTARTED = ["restarting", "autorestarting"];
const GONE = ["dead", "terminating"];

/** no-kernel · foreign: another language · waiting for the kernel's word · none: no studio yet · starting one · live */
export type Phase = "no-kernel" | "foreign" | "waiting" | "none" | "starting" | "live";

export interface SeenRun {
  id: string;
  name: string;
  state: string;
  active: boolean;
  model: string;
  step: number | null;
  total_steps: number | null;
  /** The last sign of life, in seconds since 1970, and whether that is too long ago. */
  heard_at: number;
  stale: boolean;
}

export class KernelLink {
  readonly changed = new Signal<KernelLink, void>(this);
  phase: Phase = "waiting";
  problem: Problem | null = null;
  language = "";
  private kernel: Kernel.IKernelConnection | null = null;
  private bridge: Bridge | null = null;

  constructor(readonly panel: NotebookPanel) {
    const session = panel.sessionContext;
    session.kernelChanged.connect(this.onKernel);
    panel.context.pathChanged.connect(this.tell);
    panel.disposed.connect(() => {
      session.kernelChanged.disconnect(this.onKernel);
      this.attach(null);
    });
    void session.ready.then(() => {
      const kernel = session.session?.kernel ?? null;
      if (!panel.isDisposed && kernel !== this.kernel) this.attach(kernel);
      else if (!kernel) this.enter("no-kernel");
    });
  }

  /** The widget model to show; null while there is none. */
  get modelId(): string | null {
    return (this.bridge?.sections["model_id"] as string | undefined) ?? null;
  }

  get runs(): SeenRun[] {
    return (this.bridge?.sections["runs"] as SeenRun[] | undefined) ?? [];
  }

  /** Runs that were active and have ended since the studio was opened, newest first. */
  get ended(): SeenRun[] {
    return (this.bridge?.sections["ended"] as SeenRun[] | undefined) ?? [];
  }

  /** Have the kernel do something; there must be a studio. */
  command(name: string, args: Record<string, unknown> = {}): Promise<unknown> {
    return this.bridge ? this.bridge.command(name, args) : Promise.reject(new Error("This notebook has no studio."));
  }

  /** Make a studio in a kernel that has none. */
  async start(): Promise<void> {
    const kernel = this.kernel;
    if (!kernel || this.phase !== "none") return;
    this.problem = null;
    this.enter("starting");
    const problem = await startStudio(kernel);
    if (kernel !== this.kernel || this.bridge) return;
    this.problem = problem;
    if (problem) this.enter("none");
    else await this.find(kernel); // its comm has come already, or its message was lost
  }

  private attach(kernel: Kernel.IKernelConnection | null): void {
    this.drop();
    this.problem = null;
    if (this.kernel && !this.kernel.isDisposed) {
      this.kernel.statusChanged.disconnect(this.onStatus);
      this.kernel.removeCommTarget(TARGET, this.take);
    }
    this.kernel = kernel;
    if (!kernel) return this.enter("no-kernel");
    kernel.statusChanged.connect(this.onStatus);
    kernel.registerCommTarget(TARGET, this.take);
    this.enter("waiting");
    void this.find(kernel);
  }

  /** Ask a kernel for a studio that was there before this page. A busy kernel answers when its cell ends. */
  private async find(kernel: Kernel.IKernelConnection): Promise<void> {
    this.language = (await kernel.spec)?.language ?? "python";
    if (kernel !== this.kernel || this.bridge) return;
    if (this.language !== "python") return this.enter("foreign");
    const comms = await kernel.requestCommInfo({ target_name: TARGET }).then(
      ({ content }) => Object.keys(content.comms ?? {}),
      () => [], // the kernel ended or was restarted meanwhile; its status says so
    );
    if (kernel !== this.kernel || this.bridge) return;
    const id = comms.at(-1);
    if (id !== undefined && !kernel.hasComm(id)) this.take(kernel.createComm(TARGET, id));
    else if (this.phase !== "no-kernel") this.enter("none");
  }

  private take = (comm: Kernel.IComm): void => {
    this.drop();
    const bridge = new Bridge(openComm(comm, () => bridge === this.bridge && this.lose()));
    this.bridge = bridge;
    bridge.subscribe(() => this.enter(this.modelId === null ? this.phase : "live"));
  };

  private lose(): void {
    this.drop();
    this.enter("none");
  }

  private drop(): void {
    this.bridge?.close();
    this.bridge = null;
  }

  private onKernel = (_: ISessionContext, { newValue }: { newValue: Kernel.IKernelConnection | null }): void => {
    if (newValue !== this.kernel) this.attach(newValue);
  };

  private onStatus = (_: Kernel.IKernelConnection, status: string): void => {
    if (RESTARTED.includes(status)) this.lose();
    if (GONE.includes(status)) {
      this.drop();
      this.enter("no-kernel");
    }
  };

  private enter(phase: Phase): void {
    this.phase = phase;
    this.tell();
  }

  private tell = (): void => this.changed.emit();
}
