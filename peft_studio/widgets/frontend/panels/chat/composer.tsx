// Where the prompt is written and who answers it is ticked. What was typed stays until the kernel has taken it.
import { useEffect, useRef } from "preact/hooks";
import { useBridge, useCommands, useLocal, useUnique } from "../../bridge/hooks";
import { Button } from "../../ui/button";
import { Notice } from "../../ui/notice";
import { Swatch } from "../../ui/swatch";
import { type ChatView, color, METHODS } from "./view";

const KEEP_MS = 600; // how long after the last key what is typed is also kept in the kernel

export function Composer({ view }: { view: ChatView }) {
  const bridge = useBridge();
  const commands = useCommands();
  const id = useUnique();
  const [typed, setTyped] = useLocal<string | null>("draft", null);
  const draft = typed ?? view.draft;
  const box = useFocusKept();
  const keeping = useRef<ReturnType<typeof setTimeout> | undefined>(undefined);
  const asked = view.setup.slots.filter((slot) => slot.on);
  const busy = view.busy !== null || bridge.pending.some((one) => one.name === "send");
  const blocked = view.setup.model === null ? "Choose a base model first" : asked.length === 0 ? "Tick who answers" : undefined;
  const reason = blocked ?? (draft.trim() === "" ? "Write a prompt first" : undefined);

  const type = (text: string): void => {
    setTyped(text);
    clearTimeout(keeping.current);
    keeping.current = setTimeout(() => bridge.command("keep", { draft: text }).catch(() => undefined), KEEP_MS);
  };
  const send = async (): Promise<void> => {
    // What stands in the box now: the last key may not have been drawn yet.
    const prompt = box.current?.value ?? draft;
    if (busy || blocked !== undefined || prompt.trim() === "") return;
    clearTimeout(keeping.current);
    const taken = await commands.run("send", { prompt });
    if (taken !== null && (bridge.local["draft"] ?? prompt) === prompt) setTyped("");
  };
  return (
    <div class="ps-sec">
      {commands.problem && (
        <div class="ps-said">
          <Notice hue="error" urgent fact={commands.problem.message} actions={<Button small kind="quiet" onPress={commands.dismiss}>Dismiss</Button>}>
            <p class="ps-s" dir="auto">{commands.problem.hint}</p>
          </Notice>
        </div>
      )}
      <div class="ps-composer">
        <label class="ps-hidden" for={id}>
          Prompt
        </label>
        <textarea
          id={id}
          ref={box}
          rows={3}
          data-kept={view.draft}
          dir="auto"
          value={draft}
          placeholder="Ask all that are ticked. Enter sends, Shift+Enter makes a new line."
          onInput={(event) => type((event.target as HTMLTextAreaElement).value)}
          onKeyDown={(event) => {
            if (event.key !== "Enter" || event.isComposing) return;
            event.preventDefault();
            // JupyterLab takes the browser's own new line away from Shift+Enter; this way it can be undone, too.
            if (event.shiftKey) document.execCommand("insertText", false, "\n");
            else void send();
          }}
        />
        <div class="ps-foot-row">
          <div class="ps-slots" role="group" aria-label="Who answers">
            {view.setup.slots.map((slot) => (
              <label key={slot.number} class="ps-check" data-tip={slot.from || "Without an adapter"}>
                <input type="checkbox" checked={slot.on} onChange={(event) => void commands.run("ask_slot", { number: slot.number, on: (event.target as HTMLInputElement).checked })} />
                <Swatch color={color(slot.number)} />
                <bdi class="ps-cut">{slot.title}</bdi>
                {slot.detail && <span class="ps-muted ps-hide-s">{METHODS[slot.detail] ?? slot.detail}</span>}
              </label>
            ))}
          </div>
          <span class="ps-end ps-row">
            {busy && (
              <Button icon="stop" reason={view.busy === "stopping" ? "Stopping after the current token" : undefined} onPress={() => void commands.run("stop")}>
                {view.busy === "stopping" ? "Stopping" : "Stop"}
              </Button>
            )}
            <Button icon="send" kind="primary" reason={busy ? "An answer is still being written" : reason} onPress={send}>
              Send
            </Button>
          </span>
        </div>
      </div>
      <p class="ps-muted ps-s ps-stand">
        {view.settings.remember ? "Earlier prompts and answers of this conversation go along, to each its own." : "Each prompt stands alone. Settings can send the conversation along."}
      </p>
    </div>
  );
}

/** The prompt's box, with the focus given back when the notebook has drawn the panel anew under somebody's hands. */
function useFocusKept() {
  const box = useRef<HTMLTextAreaElement>(null);
  const bridge = useBridge();
  useEffect(() => {
    const area = box.current;
    if (!area) return;
    if (bridge.local["focused"]) {
      area.focus({ preventScroll: true });
      area.setSelectionRange(area.value.length, area.value.length);
    }
    const take = (): void => {
      bridge.local["focused"] = true;
    };
    // When the element is taken away it loses the focus too; only a focus that has gone elsewhere counts.
    const lose = (): void => {
      setTimeout(() => {
        if (area.isConnected) bridge.local["focused"] = document.activeElement === area;
      });
    };
    area.addEventListener("focus", take);
    area.addEventListener("blur", lose);
    return () => {
      area.removeEventListener("focus", take);
      area.removeEventListener("blur", lose);
    };
  }, []);
  return box;
}
