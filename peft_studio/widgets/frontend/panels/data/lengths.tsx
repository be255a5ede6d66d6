// How long rows are in the tokens of the model they are checked for, and what of them is trained.
import { useState } from "preact/hooks";
import type { useCommands } from "../../bridge/hooks";
import { Input } from "../../ui/field";
import * as format from "../../ui/format";
import { Histogram } from "../../ui/histogram";
import type { DataView, Report } from "./view";

export function LengthSection({ view: { report, model }, commands }: { view: DataView; commands: ReturnType<typeof useCommands> }) {
  const [wrong, setWrong] = useState(false);
  const cut = (text: string): void => {
    const tokens = text.trim() ? Number(text.replace(/[,\s\u202f]/g, "")) : null;
    const fits = tokens === null || (Number.isInteger(tokens) && tokens > 0);
    setWrong(!fits);
    if (fits) void commands.run("set_max_length", { tokens });
  };
  return (
    <div class="ps-sec">
      <header>
        <h3>Length of rows</h3>
        <span class="ps-end ps-s ps-muted">tokens{report?.sampled ? ", of a sample" : ""}</span>
      </header>
      <div class="ps-for">
        <label>
          <span>Model</span>
          <Input value={model.name} label="Model to check for" icon="model" onChange={(name) => name.trim() && void commands.run("set_model", { model: name })} />
        </label>
        <label>
          <span>Cut at</span>
          <Input
            kind="number"
            value={model.max_length === null ? "" : String(model.max_length)}
            label="Tokens to cut rows at (max_length)"
            placeholder={report?.max_length ? format.count(report.max_length) : "the model's own"}
            unit="tokens"
            invalid={wrong}
            onChange={cut}
          />
        </label>
      </div>
      {wrong && <p class="ps-s">A whole number of tokens, 1 or more; empty is the model's own length.</p>}
      {report?.lengths ? <Lengths report={report} /> : <p class="ps-muted ps-s">{model.checking ?? "Rows are counted in tokens when the model's tokenizer is there."}</p>}
    </div>
  );
}

function Lengths({ report }: { report: Report }) {
  const lengths = report.lengths;
  if (!lengths) return null;
  const { max_length: cut, cut_rows: over } = report;
  const cutWords = cut === null ? "Nothing is cut." : over ? `${format.count(over)} ${over === 1 ? "row is" : "rows are"} longer than ${format.count(cut)} and cut.` : `No row is longer than ${format.count(cut)}.`;
  const figures: [string, string][] = [
    ["Half are under", format.count(lengths.p50)],
    ["95 % under", format.count(lengths.p95)],
    ["Longest", format.count(lengths.max)],
    ["In all", format.large(lengths.total)],
  ];
  return (
    <>
      <Histogram
        bins={lengths.bins}
        cut={cut}
        cutWord={`max_length ${format.count(cut)}`}
        heads={["Tokens", "Rows"]}
        label={`Lengths of ${format.count(lengths.counted)} rows: half under ${format.count(lengths.p50)} tokens, 95 percent under ${format.count(lengths.p95)}, longest ${format.count(lengths.max)}. ${cutWords}`}
      />
      <dl class="ps-figures">
        {figures.map(([name, value]) => (
          <div key={name}>
            <dt>{name}</dt>
            <dd>{value}</dd>
          </div>
        ))}
      </dl>
      <p class="ps-s ps-muted">{cutWords}</p>
      {report.shares && <Trained shares={report.shares} />}
    </>
  );
}

function Trained({ shares }: { shares: NonNullable<Report["shares"]> }) {
  const parts = [
    ["Trained", shares.trained, "ps-part-t"],
    ["Masked", shares.masked, "ps-part-m"],
    ["Cut", shares.cut, "ps-part-c"],
  ] as const;
  const percent = (share: number): string => (share > 0 && share < 0.01 ? "<1" : String(Math.round(share * 100)));
  return (
    <div class="ps-trained">
      <h4>What is trained</h4>
      <div class="ps-split" role="img" aria-label={parts.map(([name, share]) => `${percent(share)} percent ${name.toLowerCase()}`).join(", ")}>
        {parts.map(([name, share, part]) => share > 0 && <i key={name} class={part} style={{ width: `${share * 100}%` }} />)}
      </div>
      <p class="ps-legend">
        {parts.map(([name, share, part]) => (
          <span key={name}>
            <i class={`ps-key ${part}`} />
            {name} <b>{percent(share)} %</b>
          </span>
        ))}
      </p>
    </div>
  );
}
