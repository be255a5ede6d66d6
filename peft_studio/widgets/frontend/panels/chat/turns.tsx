// Prompts and answers: the last turn in full, side by side; earlier ones behind their prompts. All of it is text, whatever it holds.
import { CopyButton } from "../../ui/button";
import * as format from "../../ui/format";
import { Icon } from "../../ui/icon";
import { Notice } from "../../ui/notice";
import { Swatch } from "../../ui/swatch";
import { useUnique } from "../../bridge/hooks";
import { type Answer, brief, color, compared, type Turn } from "./view";

type Texts = Map<number, string>;

export function Conversation({ turns, texts }: { turns: Turn[]; texts: Texts }) {
  const last = turns.at(-1);
  if (!last) return null;
  const earlier = turns.slice(0, -1);
  return (
    <>
      {earlier.length > 0 && (
        <div class="ps-sec ps-earlier">
          <h3 class="ps-s ps-muted">Earlier in this conversation</h3>
          {earlier.map((turn) => (
            <details key={turn.number}>
              <summary>
                <bdi class="ps-cut">{turn.prompt}</bdi>
              </summary>
              <OneTurn turn={turn} texts={texts} />
            </details>
          ))}
        </div>
      )}
      <OneTurn key={last.number} turn={last} texts={texts} />
    </>
  );
}

function OneTurn({ turn, texts }: { turn: Turn; texts: Texts }) {
  const verdict = compared(turn, texts);
  return (
    <div class="ps-turn">
      <div class="ps-sec ps-you">
        <span class="ps-muted">You</span>
        <p dir="auto">{turn.prompt}</p>
      </div>
      {turn.problem && (
        <div class="ps-sec">
          <Notice hue="error" urgent fact={turn.problem.message}>
            {turn.problem.hint && <p class="ps-s" dir="auto">{turn.problem.hint}</p>}
          </Notice>
        </div>
      )}
      <div class="ps-answers">
        {turn.answers.map((answer) => (
          <OneAnswer key={answer.number} answer={answer} text={texts.get(answer.number) ?? ""} />
        ))}
      </div>
      {verdict && (
        <p class="ps-verdict ps-s" data-ok={verdict.ok}>
          <Icon name={verdict.ok ? "check" : "warn"} hue={verdict.ok ? "ok" : "warn"} />
          <span dir="auto">{verdict.words}</span>
        </p>
      )}
    </div>
  );
}

const WORDS: Record<Answer["state"], string> = { waiting: "Waiting", attaching: "Bringing in the adapter", answering: "Answering", done: "", stopped: "Stopped", failed: "Not answered" };

function OneAnswer({ answer, text }: { answer: Answer; text: string }) {
  const id = useUnique();
  const going = answer.state === "answering" || answer.state === "attaching";
  return (
    <article aria-labelledby={id} aria-busy={going} data-state={answer.state}>
      <header class="ps-row">
        <span class="ps-cut ps-who">
          <Swatch color={color(answer.slot)} />
          <h3 id={id} class="ps-cut" title={answer.title}>
            <bdi>{answer.title}</bdi>
          </h3>
        </span>
        <span class="ps-end">{text && answer.state !== "answering" && <CopyButton bare text={text} label={`Copy the answer of ${answer.title}`} />}</span>
      </header>
      {answer.problem ? (
        <Notice hue="error" fact={answer.problem.message}>
          {answer.problem.hint && <p class="ps-s" dir="auto">{answer.problem.hint}</p>}
        </Notice>
      ) : (
        <p class="ps-text" dir="auto" tabIndex={0} aria-label={`Answer of ${answer.title}`}>
          {text || (answer.state === "done" && <span class="ps-muted">An empty answer.</span>)}
          {answer.state === "answering" && <span class="ps-caret" aria-hidden="true" />}
        </p>
      )}
      <p class="ps-stats ps-xs ps-muted">
        {WORDS[answer.state] && <span>{WORDS[answer.state]}</span>}
        {answer.tokens !== null && (
          <>
            <span>{format.rate(answer.tokens_per_s)} tokens/s</span>
            <span>first after {brief(answer.first_token_s)}</span>
            <span>
              {format.count(answer.tokens)} {answer.tokens === 1 ? "token" : "tokens"}
              {answer.ended === "length" ? ", cut there" : ""}
            </span>
            <span>
              {format.gib(answer.memory_bytes)}
              {"\u202f"}GiB
            </span>
            <span>swapped in {brief(answer.switch_s)}</span>
          </>
        )}
      </p>
    </article>
  );
}
