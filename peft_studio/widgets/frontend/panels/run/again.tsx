// Going on with a rented run costs money, so it is asked first. Dollars are counted by the kernel: what is typed is proposed to it.
import type { ComponentChildren } from "preact";
import { useRef, useState } from "preact/hooks";
import type { useCommands } from "../../bridge/hooks";
import { Code } from "../../ui/code";
import { Dialog } from "../../ui/dialog";
import { Input } from "../../ui/field";
import * as format from "../../ui/format";
import type { Again, AgainProposal } from "./view";

interface AgainProps {
  again: Again;
  name: string;
  commands: ReturnType<typeof useCommands>;
  onClose: () => void;
}

export const againWords = (again: Again): string => (again.short ? `Raise its cap to $${again.first.max_usd}…` : "Resume…");

export function AgainDialog({ again, name, commands, onClose }: AgainProps) {
  const [proposal, setProposal] = useState(again.first);
  const [typed, setTyped] = useState(again.first.max_usd);
  const newest = useRef(typed);
  const type = async (max_usd: string): Promise<void> => {
    newest.current = max_usd;
    setTyped(max_usd);
    const made = (await commands.run("propose", { max_usd })) as AgainProposal | null;
    if (made && newest.current === max_usd) setProposal(made);
  };
  const read = proposal.max_usd === typed;
  const wrong = read && proposal.problem;
  const facts: [string, ComponentChildren][] = [
    ["Cost", again.spent],
    [
      "Never more than",
      <span class="ps-cap">
        <Input live kind="number" unit="dollars" label="Never more than, in dollars, in all" value={typed} invalid={Boolean(wrong)} onChange={type} />
        {wrong ? (
          <span class="ps-s ps-strong" role="alert" dir="auto">
            {wrong}
          </span>
        ) : (
          <span class="ps-s ps-muted">in all, with what it has cost{again.cap && again.short ? `; its cap was ${again.cap}` : ""}</span>
        )}
      </span>,
    ],
    ["Machine", `${again.machine}, ${again.rate}`],
    ["Goes on from", again.from_step ? `the checkpoint of step ${format.count(again.from_step)}` : "the beginning: no checkpoint is here"],
    ["Afterwards", "Before the cap it is stopped and saved, and its machine is ended. The cap of the month stands."],
  ];
  return (
    <Dialog
      title={`Go on with ${name}?`}
      facts={facts}
      verb={read && proposal.more ? `Go on for at most ${proposal.more} more` : "Go on"}
      reason={!read ? "The cap is being read" : (proposal.problem ?? undefined)}
      onConfirm={() => void commands.run("resume", { max_usd: proposal.max_usd })}
      onClose={onClose}
    >
      <details class="ps-details ps-dialog-more">
        <summary>The same in Python</summary>
        <Code text={proposal.code} label="The same in Python" />
      </details>
    </Dialog>
  );
}
