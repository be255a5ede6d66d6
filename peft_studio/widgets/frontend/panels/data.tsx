// The Data panel. Its twin is widgets/data.py.
import { useEffect, useRef, useState } from "preact/hooks";
import type { Problem } from "../bridge/bridge";
import { useBridge, useCommands, useUnique } from "../bridge/hooks";
import { definePanel } from "../bridge/panel";
import { Button } from "../ui/button";
import { Empty } from "../ui/empty";
import { Badge } from "../ui/field";
import * as format from "../ui/format";
import { PanelHead } from "../ui/head";
import { Meter } from "../ui/meter";
import { Notice } from "../ui/notice";
import { Skeleton } from "../ui/skeleton";
import "../ui/icons-more";
import "../ui/tokens.css";
import "../ui/kit.css";
import "./data/data.css";
import { Chooser } from "./data/chooser";
import { ColumnsSection } from "./data/columns";
import { LengthSection } from "./data/lengths";
import { ReportSection } from "./data/report";
import { RowSection } from "./data/row";
import { useUpload } from "./data/upload";
import type { DataView, Facts } from "./data/view";

const BADGES = { ok: "check", warn: "warn", error: "error", info: "open" } as const;
const EMPTY = "Choose a file of rows to train on. It is read here, checked row by row, and shown as the very tokens that are trained.";

function DataPanel() {
  const bridge = useBridge();
  const commands = useCommands();
  const titleId = useUnique();
  const row = useRef<HTMLDivElement>(null);
  const view = bridge.sections as unknown as DataView;
  const upload = useUpload(view.limits?.piece_bytes ?? 1_000_000);
  const [choosing, setChoosing] = useState(false);
  const [over, setOver] = useState(false);
  useEffect(() => setChoosing(false), [view.facts?.path]);
  if (!view.formats) return <section class="ps ps-data" aria-label="Data"><Skeleton said="Opening the panel" /></section>;
  const files = (event: DragEvent): boolean => [...(event.dataTransfer?.types ?? [])].includes("Files");
  const drop = {
    onDragOver: (event: DragEvent) => {
      if (!files(event)) return;
      event.preventDefault();
      event.stopPropagation();
      setOver(true);
    },
    onDragLeave: () => setOver(false),
    onDrop: (event: DragEvent) => {
      setOver(false);
      if (!files(event)) return;
      event.preventDefault();
      event.stopPropagation();
      const file = event.dataTransfer?.files[0];
      if (file) upload.send(file);
    },
  };
  const goRow = (number: number): void => void commands.run("go_row", { number });
  const { data, facts, failed } = view;
  const stuck = data?.verdict.hue === "error" ? "Settle what is blocking first" : undefined;
  return (
    <section class={`ps ps-data${over ? " ps-dropping" : ""}`} aria-labelledby={titleId} {...drop}>
      {data ? (
        <PanelHead
          icon="data"
          title={data.title}
          titleId={titleId}
          code={view.code}
          context={<Badge hue={data.verdict.hue} icon={BADGES[data.verdict.hue]}>{data.verdict.words}</Badge>}
        >
          <Button icon="folder" expanded={choosing} onPress={() => setChoosing(!choosing)}>
            Choose…
          </Button>
        </PanelHead>
      ) : (
        <Empty icon="data" title="Data" titleId={titleId} text={EMPTY} />
      )}
      <p class="ps-hidden" role="status">{view.opening ?? data?.verdict.words ?? ""}</p>
      {data && <FactsLine facts={facts} model={view.report?.model ?? null} />}
      {(choosing || !data) && (
        <Chooser commands={commands} first={!data} limitBytes={view.limits.upload_bytes} onFile={upload.send} onOpened={() => setChoosing(false)} />
      )}
      <Notices view={view} commands={commands} upload={upload} />
      {failed && failed.columns.length > 0 && (
        <ColumnsSection
          title="Map its columns by hand"
          columns={failed.columns}
          formats={view.formats}
          now={{ format: "prompt-completion", columns: {}, split: 0, seed: 0 }}
          onRead={(options) => void commands.run("open", { source: failed.source, ...options })}
        />
      )}
      {data && (
        <>
          <div class="ps-halves-lined">
            <ReportSection
              view={view}
              commands={commands}
              onRow={(number) => {
                goRow(number);
                row.current?.scrollIntoView({ block: "nearest" });
                row.current?.querySelector("input")?.focus({ preventScroll: true });
              }}
            />
            <LengthSection view={view} commands={commands} />
          </div>
          <RowSection view={view} box={row} onRow={goRow} />
          <ColumnsSection
            key={`${facts.path} ${facts.format}`}
            title="Columns"
            why={`Read as ${facts.format}: ${facts.why}.`}
            columns={view.columns}
            formats={view.formats}
            now={{ format: facts.format, columns: facts.columns, split: facts.split, seed: facts.seed }}
            given={facts.given}
            ownSplit={facts.own_split}
            onRead={(options) => void commands.run("open", options)}
          />
          <footer class="ps-foot">
            <span class="ps-grow">
              {data.used ? "The next run of this session is trained on it. " : ""}
              {stuck ? `${stuck}. ` : ""}
              Fixes never change your file. They are kept in the spec and shown as code.
            </span>
            <Button kind="primary" reason={stuck} onPress={() => commands.run("use")}>
              Use this data
            </Button>
          </footer>
        </>
      )}
    </section>
  );
}

function FactsLine({ facts, model }: { facts: Facts; model: string | null }) {
  const sure = facts.given ? "as you said" : facts.confidence >= 0.99 ? "certain" : `${Math.round(facts.confidence * 100)} % sure`;
  return (
    <p class="ps-sub">
      <span>{format.count(facts.rows)} rows</span>
      <span>{format.fileSize(facts.bytes)}</span>
      <span title={facts.why}>
        <span>
          format <b>{facts.format}</b>, {sure}
        </span>
      </span>
      {model && (
        <span>
          checked for <bdi class="ps-cut">{model}</bdi>
        </span>
      )}
      {facts.left_out > 0 && <span>{format.count(facts.left_out)} left out</span>}
      <span class="ps-end">{facts.held_out_rows ? `${format.count(facts.held_out_rows)} held out for evaluation` : "none held out for evaluation"}</span>
    </p>
  );
}

interface NoticesProps {
  view: DataView;
  commands: ReturnType<typeof useCommands>;
  upload: ReturnType<typeof useUpload>;
}

function Notices({ view: { opening, failed, data, model }, commands, upload }: NoticesProps) {
  const bridge = useBridge();
  const broken = bridge.sections["problem"] as Problem | null | undefined;
  const shown: [Problem | null | undefined, (() => void) | null][] = [
    [commands.problem, commands.dismiss],
    [upload.problem, upload.dismiss],
    [failed, () => void commands.run("dismiss")],
    [broken, null],
    [data && model.unreadable, null],
  ];
  return (
    <div class="ps-notices">
      {shown.map(([problem, dismiss], at) => problem && <ProblemNotice key={at} problem={problem} dismiss={dismiss} kept={problem === failed && data !== null} />)}
      {upload.sending && (
        <Notice hue="info" icon="laptop" fact={`Sending ${upload.sending.name}`}>
          <p class="ps-s">{format.fileSize(upload.sending.sent)} of {format.fileSize(upload.sending.size)}</p>
          <Meter value={upload.sending.sent} total={upload.sending.size} label="Sending the file" text={format.fileSize(upload.sending.sent)} />
        </Notice>
      )}
      {opening && (
        <Notice hue="info" icon="clock" fact={opening}>
          <p class="ps-s">{data ? "What was chosen before stays until it is read." : "It is read once from end to end."}</p>
        </Notice>
      )}
      {data && model.problem && (
        <Notice hue="warn" fact={`Tokens were not checked: ${model.problem.message}`}>
          {model.problem.hint && <p class="ps-s" dir="auto">{model.problem.hint}</p>}
        </Notice>
      )}
    </div>
  );
}

function ProblemNotice({ problem, dismiss, kept }: { problem: Problem; dismiss: (() => void) | null; kept: boolean }) {
  const action = dismiss && (
    <Button small kind="quiet" onPress={dismiss}>
      Dismiss
    </Button>
  );
  return (
    <Notice hue="error" urgent fact={problem.message} actions={action}>
      {problem.hint && <p class="ps-s" dir="auto">{problem.hint}</p>}
      {kept && <p class="ps-s ps-muted">The data below is the one chosen before; it is kept.</p>}
    </Notice>
  );
}

export default definePanel(() => null, DataPanel);
