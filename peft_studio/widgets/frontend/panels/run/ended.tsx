// Says that the run has ended, once: JupyterLab's extension where it watches the run, else the browser where the user has allowed it, else the panel.
import { useReducer } from "preact/hooks";
import type { Bridge } from "../../bridge/bridge";
import { useLocal } from "../../bridge/hooks";
import { Button } from "../../ui/button";
import * as format from "../../ui/format";
import { Notice } from "../../ui/notice";
import { stateWord } from "../../ui/state";
import type { RunView } from "./view";

/** The extension names the runs that it will tell of on the page's root (jupyterlab_ext/src/notify.ts). */
const isTold = (id: string): boolean => Boolean(document.documentElement.dataset["peftStudioTells"]?.split(" ").includes(id));

/** Undefined where the browser has no notifications. */
const permission = (): NotificationPermission | undefined => globalThis.Notification?.permission;

/** Only an end that this page has seen coming is told. */
export function watchEnd(bridge: Bridge): void {
  let going: string | null = null;
  bridge.subscribe(() => {
    const view = bridge.sections as unknown as RunView;
    const { id, live } = view.head ?? {};
    if (going !== null && going === id && !live && !isTold(id) && !notify(view)) bridge.local["ended"] = id;
    going = live ? (id ?? null) : null;
  });
}

function notify({ head, progress }: RunView): boolean {
  if (permission() !== "granted") return false;
  try {
    // One tag a run: several panels on it are one notification.
    const shown = new Notification(`${head.name || head.id}: ${stateWord(head)}`, { body: `Step ${format.count(progress.step)}`, tag: head.id });
    shown.onclick = () => window.focus();
    return true;
  } catch {
    return false; // browsers on phones leave notifications to service workers
  }
}

/** In the panel. A failure and a loss have notices of their own. */
export function Ended({ view: { head, progress, numbers, phases } }: { view: RunView }) {
  const [ended, setEnded] = useLocal<string | null>("ended", null);
  if (ended !== head.id || (head.state !== "completed" && head.state !== "stopped")) return null;
  const evaluation = numbers.eval_loss === null ? "" : `, evaluation loss ${format.loss(numbers.eval_loss)}`;
  const took = format.duration(phases.reduce((sum, { seconds }) => sum + (seconds ?? 0), 0));
  return (
    <Notice
      hue={head.state === "completed" ? "ok" : "info"}
      polite
      fact={`The run has ${head.state === "completed" ? "completed" : "stopped"}`}
      actions={
        <Button small kind="quiet" onPress={() => setEnded(null)}>
          Dismiss
        </Button>
      }
    >
      <p class="ps-s">
        Step {format.count(progress.step)} of {format.count(progress.total)} after {took}
        {evaluation}.
      </p>
    </Notice>
  );
}

/** Asks for the browser's permission, and only when pressed. */
export function NotifyMe({ id }: { id: string }) {
  const [asked, draw] = useReducer((count: number, _: void) => count + 1, 0);
  const now = permission();
  if (isTold(id) || now === undefined || (now === "denied" && !asked)) return null;
  if (now !== "default") return <span class="ps-muted">{now === "granted" ? "notifies you at the end" : "not allowed by the browser"}</span>;
  return (
    <Button small kind="quiet" label="Notify me in the browser when this run ends" onPress={() => void Notification.requestPermission().then(() => draw())}>
      Notify me
    </Button>
  );
}
