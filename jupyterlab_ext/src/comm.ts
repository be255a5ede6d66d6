// A comm as the panels' bridge wants its model: custom messages in and out.
import type { Listener, Model } from "@kit/bridge/bridge";
import type { Kernel } from "@jupyterlab/services";

export function openComm(comm: Kernel.IComm, closed: () => void): Model {
  const listeners = new Set<Listener>();
  comm.onMsg = ({ content, buffers = [] }) => {
    const views = buffers.map((one) => (one instanceof ArrayBuffer ? new DataView(one) : new DataView(one.buffer, one.byteOffset, one.byteLength)));
    for (const listener of listeners) listener(content.data, views);
  };
  comm.onClose = closed;
  return {
    on: (event, listener) => void (event === "msg:custom" && listeners.add(listener)),
    off: (_, listener) => void listeners.delete(listener),
    send(content) {
      comm.send(content); // throws once the comm or its kernel is gone; the bridge knows what that means
    },
  };
}
