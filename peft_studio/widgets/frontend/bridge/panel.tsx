// What a panel's module exports to the notebook: one bridge a model, any number of views of it (a cell, the sidebar, a cell drawn anew).
import { type ComponentType, render } from "preact";
import { Button } from "../ui/button";
import { focusKeeper } from "../ui/focus";
import { Notice } from "../ui/notice";
import { showTips } from "../ui/tip";
import { Bridge, GONE, type Model } from "./bridge";
import { BridgeContext, useBridge, useNow } from "./hooks";
import { Sight } from "./sight";

export interface Hooks {
  initialize: (props: { model: Model }) => () => void;
  render: (props: { el: HTMLElement }) => () => void;
}

const BUSY_AFTER_MS = 1_500; // the kernel asks again for what comes a second late: LATE_S in widgets/_feed.py

/** Says that a click waits for a cell, where the kernel cannot obey it beside one, or that there is no kernel for this panel any more. */
function Waiting() {
  const bridge = useBridge();
  const waiting = bridge.pending.filter((one) => !one.taken);
  const now = useNow(waiting.length > 0);
  if (bridge.ended && !bridge.model.inside)
    return (
      <div class="ps ps-busy" role="status">
        <Notice hue="warn" fact={GONE.message}>
          <p class="ps-s">{GONE.hint} Runs go on by themselves.</p>
        </Notice>
      </div>
    );
  return waiting.some((one) => now - one.since > BUSY_AFTER_MS) ? (
    <div class="ps ps-busy" role="status">
      <Notice
        hue="info"
        icon="clock"
        fact="Kernel busy: will act when the cell ends"
        actions={
          <Button small onPress={() => bridge.takeBack()}>
            Take back
          </Button>
        }
      />
    </div>
  ) : null;
}

/** `start` makes what the panel keeps beside the sections (its streams); `View` draws it. */
export function definePanel<State>(start: (bridge: Bridge) => State, View: ComponentType<{ state: State }>): () => Hooks {
  return () => {
    const keepFocus = focusKeeper();
    let bridge: Bridge;
    let sight: Sight;
    let state: State;
    return {
      initialize({ model }) {
        bridge = new Bridge(model);
        sight = new Sight((word) => {
          bridge.watched = word === "seen";
          bridge.tell({ kind: "sight", word });
          bridge.changed();
        });
        state = start(bridge);
        return () => {
          sight.close();
          bridge.close();
        };
      },
      render({ el }) {
        render(
          <BridgeContext.Provider value={bridge}>
            <View state={state} />
            <Waiting />
          </BridgeContext.Provider>,
          el,
        );
        const ends = [keepFocus(el), sight.watch(el), showTips(el)];
        return () => {
          for (const end of ends) end();
          render(null, el);
        };
      },
    };
  };
}
