// Around what a panel shows: what stands there before there is anything, and what went wrong.
import type { Problem } from "../bridge/bridge";
import { Button } from "./button";
import { Notice } from "./notice";
import { Skeleton } from "./skeleton";

interface WaitingProps {
  title: string;
  titleId: string;
  /** What is being done, for who waits longer. */
  said: string;
  problem: Problem | null | undefined;
}

/** A panel before its first picture: bars, or why none will come. Goes into the panel's own section. */
export function Waiting({ title, titleId, said, problem }: WaitingProps) {
  return (
    <>
      <h2 id={titleId} class="ps-hidden">
        {title}
      </h2>
      {problem ? <Trouble problem={problem} /> : <Skeleton said={said} />}
    </>
  );
}

/** What went wrong and what to do about it; the answer to a click can be dismissed. */
export function Trouble({ problem, onDismiss }: { problem: Problem; onDismiss?: (() => void) | undefined }) {
  return (
    <div class="ps-sec">
      <Notice
        hue="error"
        urgent
        fact={problem.message}
        actions={
          onDismiss && (
            <Button small kind="quiet" onPress={onDismiss}>
              Dismiss
            </Button>
          )
        }
      >
        {problem.hint && (
          <p class="ps-s" dir="auto">
            {problem.hint}
          </p>
        )}
      </Notice>
    </div>
  );
}
