// What the run will need, before it starts: memory with its parts, time, cost. Each with its range and what it rests on.
import { useLocal } from "../../bridge/hooks";
import { Button } from "../../ui/button";
import { FitBadge } from "../../ui/fit";
import { gib, remaining, remainingRange } from "../../ui/format";
import { Icon } from "../../ui/icon";
import { Skeleton } from "../../ui/skeleton";
import { Stack } from "../../ui/stack";
import type { EstimateView, QuoteView, TrainView } from "./view";

export function Estimates({ view: { quote } }: { view: TrainView }) {
  if (quote.state === "none" && !quote.problem) return null;
  if (quote.problem || (quote.state === "busy" && !quote.memory))
    return (
      <div class="ps-sec">
        <header>
          <h3>Memory and time</h3>
        </header>
        {quote.problem ? <p class="ps-s" dir="auto">{quote.problem}</p> : <Skeleton said="Estimating memory and time" />}
      </div>
    );
  return (
    <>
      {quote.memory && <Memory quote={quote} memory={quote.memory} />}
      <Time quote={quote} />
    </>
  );
}

function Memory({ quote, memory }: { quote: QuoteView; memory: EstimateView }) {
  const [open, setOpen] = useLocal("memory", false);
  return (
    <div class="ps-sec ps-est" aria-busy={quote.state === "busy"}>
      <header>
        <h3>Memory</h3>
        <FitBadge fit={quote.fit} />
        <Parts open={open} label="Memory, what it is made of" onPress={() => setOpen(!open)} />
      </header>
      <p>
        Needs <b>{gib(memory.value)}</b> <span class="ps-muted">({gib(memory.low)}–{gib(memory.high)})</span>
        {quote.device_bytes === null ? " GiB" : ` of ${gib(quote.device_bytes)} GiB`}
      </p>
      {open && (
        <div class="ps-est-more">
          <Stack parts={memory.parts} low={memory.low} high={memory.high} total={quote.device_bytes} />
          <Basis words={memory.basis} />
        </div>
      )}
    </div>
  );
}

function Time({ quote }: { quote: QuoteView }) {
  const [open, setOpen] = useLocal("time", false);
  const { duration } = quote;
  return (
    <div class="ps-sec ps-est" aria-busy={quote.state === "busy" || quote.measuring}>
      <header>
        <h3>Time and cost</h3>
        {duration && <Parts open={open} label="Time and cost, what they are made of" onPress={() => setOpen(!open)} />}
      </header>
      {duration ? (
        <p>
          About <b>{remaining(duration.value)}</b> <span class="ps-muted">{remainingRange(duration.low, duration.high)}</span>, {quote.cost}
        </p>
      ) : quote.measuring ? (
        <p class="ps-row ps-s ps-muted">
          <Icon name="open" hue="info" turning />
          Measuring how fast this machine trains, once: about 20 s, longer beside other work
        </p>
      ) : (
        <p class="ps-s ps-muted" dir="auto">{quote.notes.join(" ") || "Not known"}</p>
      )}
      {open && duration && (
        <div class="ps-est-more">
          <dl class="ps-times">
            {duration.parts.map(([name, seconds]) => (
              <div key={name}>
                <dt>{name[0]?.toUpperCase() + name.slice(1)}</dt>
                <dd>{remaining(seconds)}</dd>
              </div>
            ))}
          </dl>
          <Basis words={duration.basis} />
        </div>
      )}
    </div>
  );
}

function Parts({ open, label, onPress }: { open: boolean; label: string; onPress: () => void }) {
  return (
    <span class="ps-end">
      <Button kind="quiet" small icon={open ? "down" : "right"} expanded={open} label={label} onPress={onPress}>
        Parts
      </Button>
    </span>
  );
}

function Basis({ words }: { words: string }) {
  return (
    <p class="ps-xs ps-muted" dir="auto">
      Basis: {words}
    </p>
  );
}

/** The estimate in a line, for the panel's foot. */
export function inShort({ quote }: TrainView): string {
  if (!quote.duration || quote.problem) return "";
  const range = remainingRange(quote.duration.low, quote.duration.high);
  return `About ${remaining(quote.duration.value)}${range && ` ${range}`}, ${quote.cost}.`;
}
