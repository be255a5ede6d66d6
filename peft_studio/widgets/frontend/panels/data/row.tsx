// One row as it is trained: its tokens, coloured by what becomes of them. Never by colour alone.
import { type ComponentChildren, Fragment } from "preact";
import type { RefObject } from "preact";
import { useLocal, usePicked } from "../../bridge/hooks";
import { IconButton } from "../../ui/button";
import { Input, Segmented } from "../../ui/field";
import * as format from "../../ui/format";
import type { DataView, Piece, Row } from "./view";

type View = "text" | "tokens" | "source";
const VIEWS = [
  { value: "text", title: "Text" },
  { value: "tokens", title: "Tokens" },
  { value: "source", title: "Source" },
];

interface RowProps {
  view: DataView;
  box: RefObject<HTMLDivElement | null>;
  onRow: (number: number) => void;
}

export function RowSection({ view: { row, at, facts }, box, onRow }: RowProps) {
  const [shown, setShown] = useLocal<View>("rowView", "text");
  // What was clicked counts at once, so that quick clicks count on from each other.
  const [number, pick] = usePicked(at, onRow);
  const go = (to: number): void => pick(Math.max(0, Math.min(facts.rows - 1, to)));
  const take = (text: string): void => {
    const wanted = Number(text.replace(/[,\s]/g, ""));
    if (text.trim() && Number.isInteger(wanted)) go(wanted);
  };
  return (
    <div class="ps-sec" ref={box as RefObject<HTMLDivElement>}>
      <header>
        <h3>As trained</h3>
        <span class="ps-row ps-s ps-muted" title="Rows count from 0, as in code">
          row
          <IconButton icon="left" label="Previous row" reason={number === 0 ? "This is the first" : undefined} onPress={() => go(number - 1)} />
          <span class="ps-number">
            <Input kind="number" value={String(number)} label="Row, counted from 0" onChange={take} />
          </span>
          of {format.count(facts.rows)}
          <IconButton icon="right" label="Next row" reason={number >= facts.rows - 1 ? "This is the last" : undefined} onPress={() => go(number + 1)} />
        </span>
        <span class="ps-end">
          <Segmented value={shown} options={VIEWS} label="View" onChange={(value) => setShown(value as View)} />
        </span>
      </header>
      {row ? <RowBody row={row} shown={shown} /> : <p class="ps-muted ps-s">Reading the row</p>}
    </div>
  );
}

function RowBody({ row, shown }: { row: Row; shown: View }) {
  const region = { class: "ps-toks", role: "region" as const, tabIndex: 0, dir: "auto" as const };
  if (shown === "source")
    return (
      <>
        <p class="ps-s ps-muted ps-place">
          <bdi>{row.place}</bdi>
        </p>
        <div {...region} aria-label={`Row ${row.number} as its source has it`}>
          {row.source}
        </div>
      </>
    );
  return (
    <>
      <Legend row={row} />
      {row.problem ? (
        <p class="ps-s" dir="auto">
          {row.problem}
        </p>
      ) : (
        <div {...region} aria-label={`Row ${row.number} as trained`}>
          {shown === "tokens" ? <Tokens row={row} /> : <Text row={row} />}
        </div>
      )}
      {row.cut > 0 && row.pieces.some(([, marks]) => marks.includes("x") && marks.includes("c")) && (
        <p class="ps-s ps-muted ps-after">This row loses its end-of-text token to the cut: models trained on such rows tend not to stop.</p>
      )}
    </>
  );
}

function Legend({ row }: { row: Row }) {
  const words = [row.left_out ? "left out" : "", row.held_out ? "held out for evaluation" : ""].filter(Boolean).join(", ");
  const counts = !row.with_tokens
    ? "shown as turns: the model's tokenizer is not there"
    : `${format.count(row.learnt)} of ${format.count(row.tokens + row.cut)} tokens are trained${row.cut ? `, ${format.count(row.cut)} are cut` : ""}`;
  return (
    <p class="ps-legend ps-marks">
      <span class="ps-bare ps-m-t">trained</span>
      <span class="ps-bare ps-m-">masked</span>
      {row.with_tokens && <span class="ps-bare ps-m-x">special</span>}
      {row.with_tokens && <span class="ps-bare ps-m-c">cut off</span>}
      <span class="ps-muted ps-counts">
        {row.problem ? "" : counts}
        {words && ` · ${words}`}
      </span>
    </p>
  );
}

/** Neighbours with the same marks flow together; special tokens stay apart. */
function Text({ row }: { row: Row }) {
  const runs: [text: string, marks: string][] = [];
  const out: ComponentChildren[] = [];
  const flush = (): void => {
    out.push(...runs.map(([text, marks], at) => <Mark key={`${out.length}-${at}`} marks={marks}>{text}</Mark>));
    runs.length = 0;
  };
  row.pieces.forEach(([text, marks], at) => {
    if (row.skipped && at === row.skipped_at) {
      flush();
      out.push(<Skipped key="skipped" row={row} />);
    }
    const last = runs.at(-1);
    if (last && last[1] === marks && !marks.includes("x")) last[0] += text;
    else runs.push([text, marks]);
  });
  flush();
  return <>{out}</>;
}

function Tokens({ row }: { row: Row }) {
  return (
    <>
      {row.pieces.map((piece, at) => (
        <Fragment key={at}>
          {row.skipped > 0 && at === row.skipped_at && <Skipped row={row} />}
          <Token piece={piece} />
        </Fragment>
      ))}
    </>
  );
}

function Token({ piece: [text, marks, tokens] }: { piece: Piece }) {
  return (
    <>
      <span class={`${classes(marks)} ps-one`} title={tokens.length ? `token ${tokens.join(", ")}` : undefined}>
        {text.replace(/\n/g, "↵").replace(/\t/g, "⇥")}
      </span>
      {text.includes("\n") ? "\n" : ""}
    </>
  );
}

const Skipped = ({ row }: { row: Row }) => <i class="ps-muted"> … {format.count(row.skipped)} tokens … </i>;
const Mark = ({ marks, children }: { marks: string; children: ComponentChildren }) => <span class={classes(marks)}>{children}</span>;
const classes = (marks: string): string => (marks ? [...marks].map((mark) => `ps-m-${mark}`).join(" ") : "ps-m-");
