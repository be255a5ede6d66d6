// A long log, as a panel of its own. It follows new lines until the reader scrolls up. Every line is text, whatever it holds. Of a long one only what is seen is drawn.
import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import { clock, fullTime } from "./format";
import type { Line } from "./log";

interface LongLogProps {
  lines: Line[];
  label: string;
  /** Whether each line says whose it is. */
  named?: boolean;
  follows: boolean;
  onFollows: (follows: boolean) => void;
}

const SHORT: Record<string, string> = { warning: "warn" };
const [LINE, PADDING] = [18, 8]; // pixels, as in kit.css
const [ALL, AROUND] = [200, 20]; // drawn whole up to so many; lines drawn beyond what is seen

export function LongLog({ lines, label, named, follows, onFollows }: LongLogProps) {
  const box = useRef<HTMLDivElement>(null);
  const [top, setTop] = useState(0);
  useLayoutEffect(() => {
    const at = box.current;
    if (!follows || !at) return;
    at.scrollTop = at.scrollHeight;
    setTop(at.scrollTop);
  }, [lines, follows]);
  const [height, setHeight] = useState(180);
  useEffect(() => {
    if (box.current) setHeight(box.current.clientHeight);
  }, [lines.length]);
  const onScroll = (): void => {
    const at = box.current;
    if (!at) return;
    setTop(at.scrollTop);
    const end = at.scrollHeight - at.scrollTop - at.clientHeight < 24;
    if (end !== follows) onFollows(end);
  };
  const whole = lines.length <= ALL;
  const first = whole ? 0 : Math.max(0, Math.floor((top - PADDING) / LINE) - AROUND);
  const last = whole ? lines.length : Math.min(lines.length, Math.ceil((top + height) / LINE) + AROUND);
  return (
    <div class="ps-log ps-tall" ref={box} role="log" aria-label={label} aria-live="off" tabIndex={0} onScroll={onScroll}>
      <ol class={whole ? "ps-whole" : ""} style={whole ? undefined : { paddingTop: `${first * LINE}px`, paddingBottom: `${(lines.length - last) * LINE}px` }}>
        {lines.slice(first, last).map((line) => (
          <li key={line.seq} class={`ps-level-${line.level}`}>
            <time title={fullTime(line.at)}>{clock(line.at)}</time>
            <span class="ps-level">{SHORT[line.level] ?? line.level}</span>
            <bdi class="ps-line" title={line.text}>
              {named && line.run && <span class="ps-whose">{line.run}</span>}
              {line.text}
            </bdi>
          </li>
        ))}
      </ol>
    </div>
  );
}
