// The Logs panel. Its twin is widgets/logs.py.
import { useRef, useState } from "preact/hooks";
import type { Bridge, Problem } from "../bridge/bridge";
import { useBridge, useCommands, useLocal, useUnique } from "../bridge/hooks";
import { definePanel } from "../bridge/panel";
import { Button } from "../ui/button";
import { Empty } from "../ui/empty";
import { Badge, Input, Segmented, Select } from "../ui/field";
import { count } from "../ui/format";
import { PanelHead } from "../ui/head";
import type { Line } from "../ui/log";
import { LongLog } from "../ui/longlog";
import { Notice } from "../ui/notice";
import { Skeleton } from "../ui/skeleton";
import "../ui/icons-more";
import "../ui/tokens.css";
import "../ui/kit.css";
import "./logs/logs.css";

const MOST = 2000; // lines, as in the kernel
const PAUSE_MS = 250;
const ALL = "all";

interface LogsView {
  asked: { run: string; level: string; text: string };
  runs: { id: string; name: string }[];
  shown: string | null;
  counts: { debug: number; info: number; warning: number; error: number; read: number };
  hidden: number;
  levels: string[];
  code: string;
}

class Lines {
  all: Line[] = [];

  constructor(bridge: Bridge) {
    bridge.onStream<Line[]>("log", (lines, _, full) => {
      this.all = (full ? lines : [...this.all, ...lines]).slice(-MOST);
    });
  }
}

function LogsPanel({ state }: { state: Lines }) {
  const bridge = useBridge();
  const commands = useCommands();
  const titleId = useUnique();
  const [follows, setFollows] = useLocal("follows", true);
  const view = bridge.sections as unknown as LogsView;
  const problem = commands.problem ?? (bridge.sections["problem"] as Problem | null | undefined);
  const lines = state.all;
  const of = view.asked?.run === ALL ? "all runs" : (view.shown ?? "");
  const narrowed = view.asked && (view.asked.text !== "" || view.asked.level !== "debug");
  return (
    <section class="ps ps-logs" aria-labelledby={titleId}>
      {!view.asked ? (
        problem ? <Trouble problem={problem} /> : <Skeleton said="Reading the log" />
      ) : view.runs.length === 0 ? (
        <Empty icon="logs" title="Logs" titleId={titleId} text="No run has said anything yet. The lines of a run appear here while it goes on." />
      ) : (
        <>
          <PanelHead icon="logs" title="Logs" titleId={titleId} code={view.code || undefined} context={<bdi>{of}</bdi>}>
            <Worst counts={view.counts} />
          </PanelHead>
          <Filters view={view} run={commands.run} follows={follows} onFollows={setFollows} />
          {problem && <Trouble problem={problem} />}
          {lines.length > 0 ? (
            <LongLog lines={lines} label={`Log of ${of}`} named={view.asked.run === ALL} follows={follows} onFollows={setFollows} />
          ) : (
            <p class="ps-log-none ps-muted ps-s">{view.hidden ? "No line passes the filter." : "Nothing has been said yet."}</p>
          )}
          <footer class="ps-foot ps-log-foot">
            <span>
              {count(lines.length)} {lines.length === 1 ? "line" : "lines"}
              {view.counts.read > lines.length + view.hidden ? `, the newest of ${count(view.counts.read)}` : ""}
            </span>
            {view.hidden > 0 && (
              <>
                <span>
                  {count(view.hidden)} {view.hidden === 1 ? "line" : "lines"} hidden by the filter
                </span>
                {narrowed && (
                  <Button small kind="quiet" onPress={() => void commands.run("filter", { level: "debug", text: "" })}>
                    Show all
                  </Button>
                )}
              </>
            )}
          </footer>
        </>
      )}
    </section>
  );
}

interface FiltersProps {
  view: LogsView;
  run: (name: string, args?: Record<string, unknown>) => Promise<unknown>;
  follows: boolean;
  onFollows: (follows: boolean) => void;
}

/** Which run, which level, which words. The text is asked for when typing pauses. */
function Filters({ view, run, follows, onFollows }: FiltersProps) {
  // What was clicked or typed counts at once; the kernel's word, which code may have changed, counts after it.
  const [draft, setDraft] = useState<Partial<LogsView["asked"]>>({});
  const typing = useRef<ReturnType<typeof setTimeout> | undefined>(undefined);
  const asked = { ...view.asked, ...draft };
  const ask = (change: { level?: string; text?: string }): void => {
    clearTimeout(typing.current);
    const { level, text } = { ...asked, ...change };
    setDraft({ ...draft, level, text });
    void run("filter", { level, text }).finally(() => setDraft({}));
  };
  const type = (text: string): void => {
    setDraft({ ...draft, text });
    clearTimeout(typing.current);
    typing.current = setTimeout(() => ask({ text }), PAUSE_MS);
  };
  const choose = (wanted: string): void => {
    setDraft({ ...draft, run: wanted });
    void run("choose", { run: wanted }).finally(() => setDraft({}));
  };
  const runs = [
    { value: "", title: view.asked.run === "" && view.shown ? `Chosen run: ${view.shown}` : "Chosen run" },
    { value: ALL, title: view.runs.length > 1 ? `All runs (newest ${view.runs.length})` : "All runs" },
    ...view.runs.map(({ id, name }) => ({ value: id, title: name })),
  ];
  return (
    <div class="ps-sub ps-log-filters" role="search">
      <Select label="Run" value={asked.run} options={runs} onChange={choose} />
      <Segmented label="Least level" value={asked.level} options={view.levels.map((level) => ({ value: level, title: level[0]?.toUpperCase() + level.slice(1) }))} onChange={(level) => ask({ level })} />
      <Input kind="search" icon="search" value={asked.text} live label="Search the log" placeholder="Text in the line" onChange={type} />
      <label class="ps-check ps-end">
        <input type="checkbox" checked={follows} onChange={(event) => onFollows((event.target as HTMLInputElement).checked)} />
        Follow
      </label>
    </div>
  );
}

/** The worst that has been said, and how often. */
function Worst({ counts }: { counts: LogsView["counts"] }) {
  if (counts.error) return <Badge hue="error" icon="error">{`${count(counts.error)} ${counts.error === 1 ? "error" : "errors"}`}</Badge>;
  if (counts.warning) return <Badge hue="warn" icon="warn">{`${count(counts.warning)} ${counts.warning === 1 ? "warning" : "warnings"}`}</Badge>;
  return null;
}

function Trouble({ problem }: { problem: Problem }) {
  return (
    <Notice hue="error" urgent fact={problem.message}>
      <p class="ps-s">{problem.hint}</p>
    </Notice>
  );
}

export default definePanel((bridge) => new Lines(bridge), LogsPanel);
