// The only code that touches the widget model. It speaks the protocol of widgets/_feed.py: numbered updates in, commands out.
// Knows nothing of runs: it keeps named sections, and hands streams to whoever registered for them.

export type Listener = (message: unknown, buffers: DataView[]) => void;

/** `comm_live_update` comes from ipywidgets when the kernel has ended; a front end without it has `msg:custom` alone. */
export interface Model {
  on(event: "msg:custom" | "comm_live_update", listener: Listener): void;
  off(event: "msg:custom" | "comm_live_update", listener: Listener): void;
  send(content: unknown): void;
  /** A panel inside another one, which says for both what befalls the kernel. */
  inside?: true;
}

export interface Problem {
  message: string;
  hint: string;
  /** Which kind of error, where the panel has something to offer for one. */
  code?: string;
}

/** A command the kernel has not answered yet. `since` in milliseconds, as Date.now(). */
export interface Pending {
  id: number;
  name: string;
  since: number;
  /** The kernel works on it. Before that it waits for a running cell, and can be taken back. */
  taken: boolean;
  heard: (word: Word) => void;
}

type Sections = Record<string, unknown>;
type Stream = (value: never, buffers: DataView[], full: boolean) => void;

interface Update {
  kind: "update";
  n: number;
  at: number;
  full: boolean;
  sections: Sections;
  streams: Record<string, unknown>;
}

/** About a command: it is worked on; it came so late that the kernel asks for it again; it is done, or was not possible. */
interface Word {
  kind: "taken" | "late" | "reply";
  id: number;
  ok?: boolean;
  value?: unknown;
  problem?: Problem | null;
}

const COMMAND_TIMEOUT_MS = 60_000;
const MOST_TRIES = 4; // over a line so slow that everything comes late, the last is obeyed as it comes
const PULL_AGAIN_MS = 2_000;

export class CommandError extends Error {
  constructor(readonly problem: Problem) {
    super(problem.message);
  }
}

export class Bridge {
  sections: Sections = {};
  /** When the kernel last said anything, as Date.now(); 0 before it has. */
  heardAt = 0;
  pending: Pending[] = [];
  /** Whether anybody may be looking (sight.ts): what ticks by itself need not tick else. */
  watched = true;
  /** The kernel has ended or was restarted, and knows nothing of this panel. */
  ended = false;
  /** What the views of this panel remember among themselves; the kernel never sees it. */
  local: Record<string, unknown> = {};

  private listeners = new Set<() => void>();
  private streams: Record<string, Stream> = {};
  private seen = -1; // number of the last update taken in, -1 before the first full one
  private pulling: ReturnType<typeof setTimeout> | undefined;
  private patience = PULL_AGAIN_MS;
  private nextId = Math.trunc(Math.random() * 1e9); // the page before this one may still get answers
  private ahead = Infinity; // of this page's clock before the kernel's, in seconds, with the quickest message's time on the way
  private drawing = 0;

  constructor(readonly model: Model) {
    model.on("comm_live_update", this.look);
    model.on("msg:custom", this.receive);
    this.pull();
  }

  /** Have a stream's additions handed over, in order and without gaps; `full` says that they replace what came before. */
  onStream<T>(name: string, take: (value: T, buffers: DataView[], full: boolean) => void): void {
    this.streams[name] = take as Stream;
  }

  /** Be told after changes, at most once a frame. Returns how to stop. */
  subscribe(listener: () => void): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  /** Run a command in the kernel. Rejects with a CommandError that says what went wrong and what to do. */
  command(name: string, args: Record<string, unknown> = {}): Promise<unknown> {
    return new Promise((resolve, reject) => {
      let timer: ReturnType<typeof setTimeout> | undefined;
      let tries = 0;
      const send = (): void => {
        // When it was sent, in the kernel's time; nothing where it is to be obeyed however late it comes.
        const at = tries++ < MOST_TRIES && this.ahead < Infinity ? Date.now() / 1000 - this.ahead : undefined;
        if (!this.tell({ kind: "command", id: one.id, name, args, at })) fail(GONE);
        else if (at === undefined) take();
      };
      const take = (): void => {
        one.taken = true;
        timer ??= setTimeout(() => fail(NO_ANSWER), COMMAND_TIMEOUT_MS);
      };
      const fail = (problem: Problem): void => one.heard({ id: one.id, kind: "reply", problem });
      const one: Pending = {
        id: this.nextId++,
        name,
        since: Date.now(),
        taken: false,
        heard: (word) => {
          if (word.kind === "late") return send();
          if (word.kind === "taken") return take();
          clearTimeout(timer);
          this.pending = this.pending.filter((other) => other !== one);
          this.changed();
          if (word.ok) resolve(word.value);
          else reject(new CommandError(word.problem ?? NO_ANSWER));
        },
      };
      this.pending = [...this.pending, one];
      this.changed();
      send();
    });
  }

  /** What still waits for the kernel shall not be done: when the kernel asks for it again, nobody answers. */
  takeBack(): void {
    for (const { id, taken, heard } of this.pending) if (!taken) heard({ id, kind: "reply", problem: TAKEN_BACK });
  }

  close(): void {
    this.model.off("msg:custom", this.receive);
    this.model.off("comm_live_update", this.look);
    this.stopPulling();
    cancelAnimationFrame(this.drawing);
    this.listeners.clear();
  }

  /** Ask for everything, and again, ever less often, until it comes: the answer may be lost, or wait for a busy kernel. */
  private pull(): void {
    if (this.pulling) return;
    if (!this.tell({ kind: "command", id: 0, name: "pull", args: {} })) return;
    this.pulling = setTimeout(() => {
      this.pulling = undefined;
      this.patience = Math.min(this.patience * 2, PULL_AGAIN_MS * 16);
      this.pull();
    }, this.patience);
  }

  /** Send something. False when the comm is closed, because its kernel was restarted or shut down: nothing will be answered on it any more. */
  tell(content: unknown): boolean {
    try {
      this.model.send(content);
      return true;
    } catch {
      return false;
    }
  }

  /** Whether the kernel is still there: the comm is closed a moment after its death is told. */
  private look = (): void => {
    setTimeout(() => {
      this.ended = !this.tell({ kind: "sight" });
      if (!this.ended) return;
      for (const { id, heard } of this.pending) heard({ id, kind: "reply", problem: GONE });
      this.changed();
    }, 0);
  };

  private stopPulling(): void {
    clearTimeout(this.pulling);
    this.pulling = undefined;
    this.patience = PULL_AGAIN_MS;
  }

  private receive = (message: unknown, buffers: DataView[]): void => {
    const one = message as (Update | Word) & { panel?: string };
    if (one.panel) return; // for a panel inside this one
    this.heardAt = Date.now();
    if (one.kind === "update") this.update(one, buffers);
    else this.pending.find(({ id }) => id === one.id)?.heard(one);
    this.changed();
  };

  private update(update: Update, buffers: DataView[]): void {
    this.ahead = Math.min(this.ahead, Date.now() / 1000 - update.at);
    // Before the first full one there is nothing that a change could be added to; a problem says all by itself.
    if (this.seen < 0 && !update.full && !("problem" in update.sections)) return this.pull();
    const expected = update.full || update.n === this.seen + 1;
    // Sections are whole in themselves and welcome after a gap too; additions to a stream only where they fit.
    this.sections = update.full ? update.sections : { ...this.sections, ...update.sections };
    if (!expected) return this.pull();
    this.seen = update.n;
    if (update.full) this.stopPulling();
    for (const [name, value] of Object.entries(update.streams)) this.streams[name]?.(value as never, buffers, update.full);
  }

  /** Have everything drawn again that listens. */
  changed(): void {
    if (this.drawing) return;
    const tell = (): void => {
      clearTimeout(late);
      cancelAnimationFrame(this.drawing);
      this.drawing = 0;
      for (const listener of this.listeners) listener();
    };
    this.drawing = requestAnimationFrame(tell);
    const late = setTimeout(tell, 250); // a hidden tab has no frames, and must still be right when it is read
  }
}

const NO_ANSWER: Problem = {
  message: "The kernel has not answered for a minute.",
  hint: "If the kernel has ended, run the cell again.",
};

/** Not shown: whoever took it back knows. */
export const TAKEN_BACK: Problem = { message: "", hint: "" };

export const GONE: Problem = {
  message: "The kernel that this panel belongs to has ended.",
  hint: "Run the cell again.",
};
