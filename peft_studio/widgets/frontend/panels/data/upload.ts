// A file of this computer on its way to the kernel: in pieces, each acknowledged before the next.
import { useState } from "preact/hooks";
import { type Bridge, CommandError, type Problem } from "../../bridge/bridge";
import { useBridge } from "../../bridge/hooks";

export interface Sending {
  name: string;
  sent: number;
  size: number;
}

const PIECE_SHARE = 0.75; // base64 makes 4 characters of 3 bytes: the message stays below the limit too

export function useUpload(pieceBytes: number): { sending: Sending | null; problem: Problem | null; send: (file: File) => void; dismiss: () => void } {
  const bridge = useBridge();
  const [sending, setSending] = useState<Sending | null>(null);
  const [problem, setProblem] = useState<Problem | null>(null);
  const send = (file: File): void => {
    if (sending) return;
    setProblem(null);
    setSending({ name: file.name, sent: 0, size: file.size });
    sendFile(bridge, file, Math.floor(pieceBytes * PIECE_SHARE), (sent) => setSending({ name: file.name, sent, size: file.size }))
      .catch((error: unknown) => setProblem(error instanceof CommandError ? error.problem : { message: `${file.name} could not be read: ${String(error)}`, hint: "A folder cannot be dropped; type its path." }))
      .finally(() => setSending(null));
  };
  return { sending, problem, send, dismiss: () => setProblem(null) };
}

async function sendFile(bridge: Bridge, file: File, piece: number, tell: (sent: number) => void): Promise<void> {
  const token = await bridge.command("upload_begin", { file: file.name, size: file.size });
  for (let at = 0; at < file.size; at += piece) {
    const data = await base64(file.slice(at, at + piece));
    tell((await bridge.command("upload_piece", { token, at, data })) as number);
  }
  await bridge.command("upload_end", { token });
}

function base64(part: Blob): Promise<string> {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(String(reader.result).split(",")[1] ?? "");
    reader.onerror = () => reject(reader.error ?? new Error("it cannot be read"));
    reader.readAsDataURL(part);
  });
}
