// The Run panel. Its twin is widgets/run.py.
import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import type { Bridge } from "../bridge/bridge";
import { useBridge, useCommands, useNow, useUnique } from "../bridge/hooks";
import { definePanel } from "../bridge/panel";
import { type Chunk, Points } from "../bridge/points";
import { Empty } from "../ui/empty";
import type { Line } from "../ui/log";
import { Skeleton } from "../ui/skeleton";
import "../ui/tokens.css";
import "../ui/kit.css";
import "./run/run.css";
import { watchEnd } from "./run/ended";
import { Head } from "./run/head";
import { defaultSmoothing, smoothed } from "./run/lines";
import { LossSection } from "./run/loss";
import { FilesSection, Foot, LogSection, SampleSection } from "./run/more";
import { FailureSection, Notices, useRetry } from "./run/notices";
import { FactsLine, ProgressSection, Tiles } from "./run/summary";
import type { RunView } from "./run/view";

const KERNEL_SILENT_S = 15; // a live run's panel hears from its kernel every second
const LOG_LINES = 200;

/** What grows while the run goes on: the curve and the tail of the log. */
class Streams {
  readonly points = new Points();
  lines: Line[] = [];

  constructor(bridge: Bridge) {
    watchEnd(bridge);
    bridge.onStream<Chunk>("curve", (chunk, [block]) => block && this.points.take(chunk, block));
    bridge.onStream<Line[]>("log", (lines, _, full) => {
      this.lines = (full ? lines : [...this.lines, ...lines]).slice(-LOG_LINES);
    });
  }
}

function RunPanel({ state: { points, lines } }: { state: Streams }) {
  const bridge = useBridge();
  const commands = useCommands();
  const retry = useRetry(commands);
  const titleId = useUnique();
  const [box, width] = useWidth();
  const view = bridge.sections as unknown as RunView;
  const live = Boolean(view.head?.live);
  const now = useNow(live && bridge.watched);
  const ready = Boolean(view.head);
  // What the kernel said, plus the time since it said so.
  const sinceKernel = (now - bridge.heardAt) / 1000;
  const heardFor = live && view.head.heard_s !== null ? view.head.heard_s + (sinceKernel > 2 ? sinceKernel : 0) : null;
  const kernelSilent = live && sinceKernel > KERNEL_SILENT_S;
  const silent = heardFor !== null && (view.head.stale || kernelSilent);
  const weight = (bridge.local["smoothing"] as number | null | undefined) ?? defaultSmoothing(points);
  const smooth = useMemo(() => smoothed(points, weight), [points.version, weight]);
  return (
    <section class="ps ps-run" ref={box} aria-labelledby={titleId}>
      {!ready ? (
        view.empty ? <Empty icon="train" title="Run" titleId={titleId} text={view.empty.text} /> : <Skeleton said="Reading the run" />
      ) : (
        <>
          <Head view={view} silentFor={silent ? heardFor : null} titleId={titleId} commands={commands} />
          <FactsLine facts={view.facts} meter={view.meter} heardFor={silent ? null : heardFor} />
          <div class="ps-notices">
            <Notices view={view} silentFor={silent ? heardFor : null} kernelSilent={kernelSilent} commands={commands} retry={retry} />
          </div>
          {view.failure && <FailureSection failure={view.failure} canRetry={view.can_retry} retry={retry} />}
          <div class={silent ? "ps-stale" : ""}>
            <ProgressSection view={view} />
            <Tiles view={view} smoothed={smooth.findLast((value) => value !== null) ?? null} />
            <LossSection view={view} points={points} width={width} commands={commands} />
          </div>
          <div class={view.samples.length ? "ps-halves" : ""}>
            <SampleSection samples={view.samples} />
            <FilesSection files={view.files} head={view.head} now={now} />
          </div>
          <LogSection lines={lines} live={view.head.live} />
          <Foot view={view} />
        </>
      )}
    </section>
  );
}

/** The panel's own width: charts are drawn to it, and one number cannot come from a container query. */
function useWidth() {
  const box = useRef<HTMLElement>(null);
  const [width, setWidth] = useState(640);
  useEffect(() => {
    if (!box.current) return;
    const watch = new ResizeObserver(([entry]) => entry && setWidth(entry.contentRect.width));
    watch.observe(box.current);
    return () => watch.disconnect();
  }, []);
  return [box, width] as const;
}

export default definePanel((bridge) => new Streams(bridge), RunPanel);
