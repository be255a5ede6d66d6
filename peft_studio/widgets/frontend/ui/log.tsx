// The tail of a log. It follows new lines until the reader scrolls up. Every line is text, whatever it holds.
import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { clock, fullTime } from "./format";

export interface Line {
  seq: number;
  at: number;
  level: string;
  text: string;
  /** Whose line it is, where lines of several runs stand together (longlog.tsx). */
  run?: string;
}

const SHORT: Record<string, string> = { warning: "warn" };

export function LogView({ lines, label }: { lines: Line[]; label: string }) {
  const box = useRef<HTMLDivElement>(null);
  const [follows, setFollows] = useState(true);
  useEffect(() => {
    if (follows && box.current) box.current.scrollTop = box.current.scrollHeight;
  }, [lines, follows]);
  const onScroll = (): void => {
    const at = box.current;
    if (at) setFollows(at.scrollHeight - at.scrollTop - at.clientHeight < 24);
  };
  // Most news of a run are no new lines, and hundreds of them are not to be compared again ten times a second.
  const list = useMemo(
    () => (
      <ol class="ps-whole">
        {lines.map((line) => (
          <li key={line.seq} class={`ps-level-${line.level}`}>
            <time title={fullTime(line.at)}>{clock(line.at)}</time>
            <span class="ps-level">{SHORT[line.level] ?? line.level}</span>
            <bdi class="ps-line" title={line.text}>
              {line.text}
            </bdi>
          </li>
        ))}
      </ol>
    ),
    [lines],
  );
  return (
    <div class="ps-log" ref={box} role="log" aria-label={label} aria-live="off" tabIndex={0} onScroll={onScroll}>
      {list}
    </div>
  );
}
