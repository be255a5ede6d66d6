// The one question before money is spent. It names all of it; what the button says is what is rented for, at most.
import type { ComponentChildren } from "preact";
import { useRef, useState } from "preact/hooks";
import { Code } from "../../ui/code";
import { Dialog } from "../../ui/dialog";
import { Input } from "../../ui/field";
import { Notice } from "../../ui/notice";
import type { Amount, Next, Proposal, Run } from "./view";

interface ConfirmProps {
  first: Proposal;
  run: Run;
  onRent: (proposal: Proposal) => unknown;
  onClose: () => void;
}

export function Confirm({ first, run, onRent, onClose }: ConfirmProps) {
  const [proposal, setProposal] = useState(first);
  const [typed, setTyped] = useState({ max_usd: first.max_usd, max_hours: first.max_hours, without: [] as string[] });
  const newest = useRef(typed);
  const type = async (change: Partial<typeof typed>): Promise<void> => {
    const wanted = { ...newest.current, ...change };
    newest.current = wanted;
    setTyped(wanted);
    const made = (await run("propose", { key: first.key, ...wanted })) as Proposal | null;
    // While a cap is none, nothing is known of what would be tried next: what was stays.
    const keep = (before: Proposal): Next[] => before.next.map((one) => ({ ...one, on: !wanted.without.includes(one.key) }));
    if (made && newest.current === wanted) setProposal((before) => (made.problem ? { ...made, next: keep(before) } : made));
  };
  const { without } = typed;
  const read = proposal.max_usd === typed.max_usd && proposal.max_hours === typed.max_hours && proposal.next.every((one) => one.on !== without.includes(one.key));
  const tick = (key: string): Promise<void> => type({ without: without.includes(key) ? without.filter((one) => one !== key) : [...without, key] });
  const wrong = proposal.problem;
  const { gpu, provider, place, free } = proposal;
  const at = wrong && (wrong.field === "max_hours" || free ? "max_hours" : "max_usd");
  const below = (field: string, said: ComponentChildren): ComponentChildren =>
    wrong && at === field && read ? (
      <span class="ps-s ps-strong" role="alert" dir="auto">
        {wrong.message}
      </span>
    ) : (
      <span class="ps-s ps-muted">{said}</span>
    );
  const facts: [string, ComponentChildren][] = [
    ["Machine", `${gpu} at ${provider}, ${place}`],
    ["Price", free ? `no charge${proposal.includes ? `; ${proposal.includes}` : ""}` : `${proposal.per_hour} an hour, billed ${proposal.billed}${proposal.includes ? `; ${proposal.includes}` : ""}`],
    ["This run", <About total={proposal.total} time={proposal.time} free={free} />],
    ...(free
      ? []
      : ([
          [
            "Never more than",
            <span class="ps-cap">
              <Input live kind="number" unit="dollars" label="Never more than, in dollars" value={typed.max_usd} invalid={at === "max_usd"} onChange={(max_usd) => type({ max_usd })} />
              {below("max_usd", "then it saves and ends the machine")}
            </span>,
          ],
        ] as [string, ComponentChildren][])),
    [
      "Longest life",
      <span class="ps-cap">
        <Input live kind="number" unit="hours" label="Longest life, in hours" value={typed.max_hours} invalid={at === "max_hours"} onChange={(max_hours) => type({ max_hours })} />
        {below("max_hours", free ? proposal.queues && "counted from its turn" : proposal.latest && `with that cap ${proposal.latest} at the latest`)}
      </span>,
    ],
    ["If it does not start", <Nexts next={proposal.next} free={free} without={without} onTick={tick} />],
    ["If this computer is away", proposal.away],
    ...(proposal.spot ? ([["Spot", "It may be taken away at any moment. What was saved and fetched before stays."]] as [string, string][]) : []),
    ...(proposal.tight ? ([["Memory", "Tight: it may run out of memory there."]] as [string, string][]) : []),
    ...(proposal.changes.length ? ([["On this card", proposal.changes.join("; ")]] as [string, string][]) : []),
    ["Leaves this machine", proposal.leaves],
    ["Comes back", "the adapter, metrics, logs, checkpoints"],
  ];
  return (
    <Dialog
      title={free ? `Train on ${provider}, ${gpu}?` : `Rent ${gpu} at ${provider}?`}
      lead={
        proposal.never_ends && (
          <div class="ps-sec ps-never-ends">
            <Notice hue="warn" fact="This machine cannot end itself">
              <p class="ps-s" dir="auto">
                {proposal.never_ends}
              </p>
            </Notice>
          </div>
        )
      }
      facts={facts}
      verb={free ? (proposal.queues ? "Put it in line" : "Train there") : proposal.at_most && read ? `Rent for at most ${proposal.at_most}` : "Rent"}
      reason={!read ? "The cap is being read" : wrong ? wrong.message : undefined}
      onConfirm={() => onRent(proposal)}
      onClose={onClose}
    >
      <details class="ps-details ps-dialog-more">
        <summary>The same in Python</summary>
        <Code text={proposal.code} label="The same in Python" />
      </details>
    </Dialog>
  );
}

/** What is rented in its place, and what may not be. */
function Nexts({ next, free, without, onTick }: { next: Next[]; free: boolean; without: string[]; onTick: (key: string) => unknown }) {
  if (!next.length) return <>It is asked for again. {!free && "Nothing else on sale would do the same run within this cap."}</>;
  return (
    <>
      Once it is proven gone, these are tried in turn:
      <ul class="ps-nexts">
        {next.map(({ key, words, more, per_hour, may_meet_cap }) => (
          <li key={key}>
            <label class="ps-check">
              <input type="checkbox" checked={!without.includes(key)} onChange={() => onTick(key)} />
              <span>
                <bdi>{words}</bdi>{" "}
                <span class="ps-muted">
                  (<span class="ps-whole">{more}</span>, <span class="ps-whole">{per_hour} an hour</span>{may_meet_cap && ", may meet the cap"})
                </span>
              </span>
            </label>
          </li>
        ))}
      </ul>
    </>
  );
}

function About({ total, time, free }: { total: Amount; time: Amount; free: boolean }) {
  const known = total.value !== "—";
  if (!known && free) return <>not known how long</>;
  return (
    <>
      <b>{!known ? "cost not known" : total.range ? `about ${total.value}` : total.value}</b>
      {total.range && <span class="ps-whole"> ({total.range})</span>}
      {time.value !== "—" && (
        <>
          , <span class="ps-whole">{time.value}</span> in all
        </>
      )}{" "}
      {time.range && <span class="ps-muted ps-whole">({time.range})</span>}
    </>
  );
}
