// The bridge against a kernel that sends what widgets/_feed.py would send, and loses what Jupyter may lose.
import assert from "node:assert/strict";
import { afterEach, beforeEach, mock, test } from "node:test";
import { Bridge, CommandError, TAKEN_BACK } from "../bridge/bridge";

type Listener = (message: unknown, buffers: DataView[]) => void;

const AHEAD_S = 500; // of the kernel's clock before the page's

class Kernel {
  sent: { kind: string; id: number; name: string; args: Record<string, unknown>; at?: number }[] = [];
  private listener: Listener = () => {};
  private told: () => void = () => {};
  gone = false;
  on = (event: string, listener: Listener): void => {
    if (event === "msg:custom") this.listener = listener;
    else this.told = listener as () => void;
  };
  off = (): void => void (this.listener = () => {});
  send = (content: unknown): void => {
    if (this.gone) throw new Error("disposed");
    this.sent.push(content as never);
  };
  /** The kernel is killed; or its connection is only told to be there. */
  tellLife = ({ gone }: { gone: boolean }): void => {
    this.gone = gone;
    this.told();
    mock.timers.tick(1);
  };
  update = (n: number, sections: object, { full = false, streams = {} }: { full?: boolean; streams?: object } = {}): void =>
    this.listener({ kind: "update", n, at: Date.now() / 1000 + AHEAD_S, full, sections, streams }, []);
  say = (kind: "taken" | "late", id: number): void => this.listener({ kind, id }, []);
  reply = (id: number, rest: object): void => this.listener({ kind: "reply", id, ...rest }, []);
  get pulls(): number {
    return this.sent.filter((one) => one.name === "pull").length;
  }
}

let kernel: Kernel;
let bridge: Bridge;
let lines: string[];

beforeEach(() => {
  mock.timers.enable({ apis: ["setTimeout", "Date"], now: 1_000_000 });
  Object.assign(globalThis, { requestAnimationFrame: () => 1, cancelAnimationFrame: () => {} });
  kernel = new Kernel();
  bridge = new Bridge(kernel as never);
  lines = [];
  bridge.onStream<string[]>("log", (value, _, full) => (lines = full ? value : [...lines, ...value]));
});
afterEach(() => mock.timers.reset());

test("it asks for everything when it comes", () => {
  assert.equal(kernel.pulls, 1);
});

test("a kernel that ends in the middle of a command is said at once", async () => {
  kernel.update(1, { a: 1 }, { full: true });
  const asked = bridge.command("go");
  kernel.tellLife({ gone: false });
  assert.equal(bridge.ended, false);
  assert.equal(bridge.pending.length, 1);
  kernel.tellLife({ gone: true });
  assert.equal(bridge.ended, true);
  assert.deepEqual(bridge.pending, []);
  await assert.rejects(asked, (error: CommandError) => error.problem.hint === "Run the cell again.");
});

test("updates in order are taken in", () => {
  kernel.update(1, { a: 1 }, { full: true, streams: { log: ["one"] } });
  kernel.update(2, { b: 2 }, { streams: { log: ["two"] } });
  assert.deepEqual(bridge.sections, { a: 1, b: 2 });
  assert.deepEqual(lines, ["one", "two"]);
  assert.equal(kernel.pulls, 1);
});

test("before the first full update a page shows nothing by halves, but a problem", () => {
  kernel.update(7, { a: 1 });
  assert.deepEqual(bridge.sections, {});
  kernel.update(8, { problem: { message: "m", hint: "" } });
  assert.deepEqual(Object.keys(bridge.sections), ["problem"]);
  kernel.update(9, { a: 1, b: 2 }, { full: true });
  assert.deepEqual(bridge.sections, { a: 1, b: 2 });
});

test("after a gap it takes the sections, not the additions, and pulls", () => {
  kernel.update(1, { a: 1 }, { full: true, streams: { log: ["one"] } });
  kernel.update(3, { a: 3 }, { streams: { log: ["three"] } });
  assert.deepEqual(bridge.sections, { a: 3 });
  assert.deepEqual(lines, ["one"]);
  assert.equal(kernel.pulls, 2);
  kernel.update(4, { a: 3 }, { full: true, streams: { log: ["one", "two", "three"] } });
  assert.deepEqual(lines, ["one", "two", "three"]);
});

test("a page that comes late shows nothing before it has everything", () => {
  kernel.update(41, { b: 2 });
  assert.deepEqual(bridge.sections, {});
  kernel.update(42, { a: 1, b: 2 }, { full: true });
  assert.deepEqual(bridge.sections, { a: 1, b: 2 });
});

test("while an answer is on its way it does not pull again", () => {
  kernel.update(1, {}, { full: true });
  for (const n of [3, 5, 7]) kernel.update(n, {});
  assert.equal(kernel.pulls, 2);
});

test("an answer that does not come is asked for again, ever less often", () => {
  for (const wait of [2000, 4000, 8000]) mock.timers.tick(wait);
  assert.equal(kernel.pulls, 4);
  kernel.update(9, {}, { full: true });
  mock.timers.tick(600_000);
  assert.equal(kernel.pulls, 4);
});

test("a command resolves with its value", async () => {
  const answer = bridge.command("stop", { save: true });
  const { id, args } = kernel.sent.at(-1)!;
  assert.deepEqual(args, { save: true });
  assert.equal(bridge.pending.length, 1);
  kernel.reply(id, { ok: true, value: 7, problem: null });
  assert.equal(await answer, 7);
  assert.equal(bridge.pending.length, 0);
});

test("a command that is refused rejects with what to do", async () => {
  const answer = bridge.command("resume");
  kernel.reply(kernel.sent.at(-1)!.id, { ok: false, value: null, problem: { message: "It is completed.", hint: "Launch a new one." } });
  await assert.rejects(answer, (error) => error instanceof CommandError && error.problem.hint === "Launch a new one.");
});

test("a command that nobody answers ends after a minute", async () => {
  const answer = bridge.command("stop");
  mock.timers.tick(60_001);
  await assert.rejects(answer, /not answered for a minute/);
  assert.equal(bridge.pending.length, 0);
});

test("what waits for a cell is sent again with a newer time when the kernel asks, and then done once", async () => {
  kernel.update(1, {}, { full: true });
  const answer = bridge.command("stop");
  const { id, at } = kernel.sent.at(-1)!;
  assert.equal(at, Date.now() / 1000 + AHEAD_S);
  mock.timers.tick(90_000); // however long: it has not begun
  kernel.say("late", id);
  assert.deepEqual(kernel.sent.at(-1), { kind: "command", id, name: "stop", args: {}, at: at! + 90 });
  kernel.say("taken", id);
  assert.ok(bridge.pending[0]!.taken);
  kernel.reply(id, { ok: true, value: 1 });
  assert.equal(await answer, 1);
});

test("what was taken back is not sent again", async () => {
  kernel.update(1, {}, { full: true });
  const [working, waiting] = [bridge.command("stop"), bridge.command("resume")];
  const [first, second] = kernel.sent.slice(-2).map((one) => one.id) as [number, number];
  kernel.say("taken", first);
  bridge.takeBack();
  await assert.rejects(waiting, (error: CommandError) => error.problem === TAKEN_BACK);
  const sent = kernel.sent.length;
  kernel.say("late", second);
  assert.equal(kernel.sent.length, sent);
  assert.deepEqual(bridge.pending.map((one) => one.id), [first]);
  mock.timers.tick(60_001);
  await assert.rejects(working, /not answered for a minute/);
});

test("over a line on which everything is late it is obeyed in the end", () => {
  kernel.update(1, {}, { full: true });
  void bridge.command("stop");
  const { id } = kernel.sent.at(-1)!;
  for (let late = 0; late < 4; late++) kernel.say("late", id);
  assert.equal(kernel.sent.at(-1)!.at, undefined);
  kernel.reply(id, { ok: true });
});

test("listeners are told after changes, once for many", () => {
  let told = 0;
  bridge.subscribe(() => told++);
  for (let n = 1; n < 50; n++) kernel.update(n, { n }, { full: n === 1 });
  mock.timers.tick(300);
  assert.equal(told, 1);
});

test("a comm that is closed is not asked again, and a command on it says why", async () => {
  kernel.send = () => {
    throw new Error("Cannot send");
  };
  kernel.update(5, {});
  mock.timers.tick(60_000);
  await assert.rejects(bridge.command("stop"), (error: CommandError) => error.problem.message.includes("has ended"));
  assert.equal(bridge.pending.length, 0);
});
