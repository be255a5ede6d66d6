// What a panel's module exports to the notebook: one bridge a model, any number of views of it (a cell, the sidebar, a cell drawn anew).
import { type ComponentType, render } from "preact";
import { focusKeeper } from "../ui/focus";
import { Bridge, type Model } from "./bridge";
import { BridgeContext } from "./hooks";

export interface Hooks {
  initialize: (props: { model: Model }) => () => void;
  render: (props: { el: HTMLElement }) => () => void;
}

/** `start` makes what the panel keeps beside the sections (its streams); `View` draws it. */
export function definePanel<State>(start: (bridge: Bridge) => State, View: ComponentType<{ state: State }>): () => Hooks {
  return () => {
    const keepFocus = focusKeeper();
    let bridge: Bridge;
    let state: State;
    return {
      initialize({ model }) {
        bridge = new Bridge(model);
        state = start(bridge);
        return () => bridge.close();
      },
      render({ el }) {
        render(
          <BridgeContext.Provider value={bridge}>
            <View state={state} />
          </BridgeContext.Provider>,
          el,
        );
        const end = keepFocus(el);
        return () => {
          end();
          render(null, el);
        };
      },
    };
  };
}
