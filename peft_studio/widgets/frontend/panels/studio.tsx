// The studio: the steps of the workflow as tabs, each a panel of its own inside. Its twin is widgets/studio.py.
import { useEffect, useRef, useState } from "preact/hooks";
import type { Problem } from "../bridge/bridge";
import { CommandError } from "../bridge/bridge";
import { useBridge, useCommands, useUnique } from "../bridge/hooks";
import { Inner } from "../bridge/inner";
import { definePanel } from "../bridge/panel";
import { Notice } from "../ui/notice";
import { Skeleton } from "../ui/skeleton";
import { type Tab, Tabs } from "../ui/tabs";
import "../ui/tokens.css";
import "../ui/kit.css";
import "./studio/studio.css";

interface StudioView {
  steps: Tab[];
  panel: string;
  chosen: { model: string | null; data: string | null; run: string | null };
  code: string;
}

function Studio({ state: inner }: { state: Inner }) {
  const bridge = useBridge();
  const commands = useCommands();
  const id = useUnique();
  const view = bridge.sections as unknown as StudioView;
  // The click counts at once; the kernel's word, which other views may have changed, counts after it.
  const [clicked, setClicked] = useState<string | null>(null);
  const going = bridge.pending.some((one) => one.name === "go"); // quick clicks: its answer to the first is not the last word
  useEffect(() => void (going || setClicked(null)), [view.panel, going]);
  const shown = clicked ?? view.panel;
  const problem = commands.problem ?? (bridge.sections["problem"] as Problem | null);
  return (
    <section class="ps ps-studio" aria-label="PEFT Studio">
      {!view.steps ? (
        <Skeleton said="Opening the studio" />
      ) : (
        <>
          <Tabs
            tabs={view.steps}
            shown={shown}
            label="Steps"
            controls={id}
            onGo={(panel) => {
              setClicked(panel);
              void commands.run("go", { panel }).then(() => setClicked(null));
            }}
          />
          {problem && (
            <Notice hue="error" urgent fact={problem.message}>
              <p class="ps-s">{problem.hint}</p>
            </Notice>
          )}
          <div id={id} role="tabpanel" tabIndex={-1} aria-labelledby={`${id}-${shown}`}>
            <Step key={shown} inner={inner} name={shown} />
          </div>
        </>
      )}
    </section>
  );
}

/** One panel inside, drawn by its own module into an element of its own. */
function Step({ inner, name }: { inner: Inner; name: string }) {
  const box = useRef<HTMLDivElement>(null);
  const [problem, setProblem] = useState<Problem | null>(null);
  const [ready, setReady] = useState(false);
  useEffect(() => {
    let gone = false;
    let end = (): void => {};
    inner.open(name).then(
      ({ hooks, css }) => {
        if (gone || !box.current) return;
        const style = document.createElement("style");
        style.textContent = css;
        const el = document.createElement("div");
        box.current.append(style, el);
        end = hooks.render({ el });
        setReady(true);
      },
      (error: unknown) => {
        if (gone) return;
        setProblem(error instanceof CommandError ? error.problem : { message: `The panel could not be drawn: ${String(error)}`, hint: "Run the cell again." });
      },
    );
    return () => {
      gone = true;
      end();
    };
  }, [inner, name]);
  return (
    <>
      {problem && (
        <Notice hue="error" urgent fact={problem.message}>
          <p class="ps-s">{problem.hint}</p>
        </Notice>
      )}
      {!ready && !problem && <Skeleton said="Opening the panel" />}
      <div ref={box} />
    </>
  );
}

export default definePanel((bridge) => new Inner(bridge), Studio);
