// Which column plays which role, the format, and the split: read as recognised, or as a person says.
import { useState } from "preact/hooks";
import { Button } from "../../ui/button";
import { Input, Select } from "../../ui/field";
import * as format from "../../ui/format";
import type { Column, DataView } from "./view";

export interface Mapping {
  format: string;
  columns: Record<string, string>;
  split: number;
  seed: number;
}

interface ColumnsProps {
  title: string;
  /** Why it is read as it is. */
  why?: string;
  columns: Column[];
  formats: DataView["formats"];
  now: Mapping;
  /** Whether a person has said so; then it can be left to recognition again. */
  given?: boolean;
  ownSplit?: boolean;
  onRead: (options: Record<string, unknown>) => void;
}

const NONE = "";
const TITLES: Record<string, string> = {
  messages: "Conversation", conversations: "Conversation", tools: "Tools", system: "System", instruction: "Instruction", input: "Input", output: "Output",
  prompt: "Prompt", completion: "Completion", text: "Text", chosen: "Chosen answer", rejected: "Rejected answer",
}; // prettier-ignore

export function ColumnsSection({ title, why, columns, formats, now, given, ownSplit, onRead }: ColumnsProps) {
  const [said, setSaid] = useState<Mapping | null>(null);
  const shown = said ?? now;
  const shape = formats[shown.format] ?? { needs: [], may: [] };
  const change = (changes: Partial<Mapping>): void => setSaid({ ...shown, ...changes });
  const names = columns.map((column) => column.name);
  const mapped = shown.format !== now.format || JSON.stringify(shown.columns) !== JSON.stringify(now.columns);
  const missing = shape.needs.find((role) => !shown.columns[role]);
  const read = (byHand: boolean): void => {
    onRead({ ...(byHand ? { columns: shown.columns, format: shown.format } : {}), split: shown.split, seed: shown.seed });
    setSaid(null);
  };
  const setFormat = (name: string): void => {
    const roles = [...(formats[name]?.needs ?? []), ...(formats[name]?.may ?? [])];
    change({ format: name, columns: Object.fromEntries(roles.flatMap((role) => (names.includes(role) ? [[role, role]] : []))) });
  };
  const setRole = (role: string, column: string): void => {
    const { [role]: _, ...others } = shown.columns;
    change({ columns: column === NONE ? others : { ...others, [role]: column } });
  };
  return (
    <div class="ps-sec">
      <header>
        <h3>{title}</h3>
        <span class="ps-end ps-row ps-s ps-muted">
          format
          <Select value={shown.format} label="Format" options={Object.keys(formats).map((name) => ({ value: name, title: name }))} onChange={setFormat} />
        </span>
      </header>
      {why && (
        <p class="ps-s ps-muted ps-read-as" dir="auto">
          {why}
        </p>
      )}
      <table class="ps-table ps-roles">
        <thead>
          <tr>
            <th>Role</th>
            <th>Column</th>
            <th class="ps-hide-m">Example</th>
            <th class="ps-num ps-hide-s">Filled</th>
          </tr>
        </thead>
        <tbody>
          {[...shape.needs, ...shape.may].map((role) => {
            const column = columns.find((one) => one.name === shown.columns[role]);
            const options = [{ value: NONE, title: shape.needs.includes(role) ? "choose…" : "none" }, ...names.map((name) => ({ value: name, title: name }))];
            return (
              <tr key={role}>
                <th scope="row">{TITLES[role] ?? role}</th>
                <td>
                  <Select value={shown.columns[role] ?? NONE} label={`Column for ${role}`} options={options} onChange={(value) => setRole(role, value)} />
                </td>
                <td class="ps-hide-m ps-example">
                  <bdi>{column?.example ?? "—"}</bdi>
                </td>
                <td class="ps-num ps-hide-s" title={column ? `of the first ${format.count(column.seen)} rows` : undefined}>
                  {column ? `${Math.round(column.filled * 100)} %` : "—"}
                </td>
              </tr>
            );
          })}
        </tbody>
      </table>
      <p class="ps-row ps-tight ps-s ps-evaluation">
        <span class="ps-role">Evaluation</span>
        {ownSplit ? <span class="ps-muted">The folder has a validation split of its own.</span> : <Split now={shown} onChange={change} />}
      </p>
      {(said || given) && (
        <p class="ps-row ps-tight ps-after">
          {said && (
            <Button small reason={mapped && missing ? `Choose a column for ${missing}` : undefined} onPress={() => read(mapped || Boolean(given))}>
              Read it so
            </Button>
          )}
          {said && (
            <Button small kind="quiet" onPress={() => setSaid(null)}>
              Take back
            </Button>
          )}
          {given && !said && (
            <Button small kind="quiet" onPress={() => read(false)}>
              Recognise it again
            </Button>
          )}
          {said && mapped && missing && <span class="ps-s ps-muted">Choose a column for {missing}.</span>}
        </p>
      )}
    </div>
  );
}

function Split({ now, onChange }: { now: Mapping; onChange: (changes: Partial<Mapping>) => void }) {
  const takeShare = (text: string): void => {
    const share = Number(text.replace("%", "").trim());
    if (share >= 0 && share < 100) onChange({ split: Math.round(share * 100) / 10_000 });
  };
  const takeSeed = (text: string): void => {
    const seed = Number(text.trim());
    if (Number.isSafeInteger(seed)) onChange({ seed });
  };
  return (
    <span class="ps-row ps-tight ps-s">
      hold out
      <span class="ps-number">
        <Input kind="number" value={String(Math.round(now.split * 10_000) / 100)} unit="%" label="Share held out for evaluation, in percent" onChange={takeShare} />
      </span>
      with seed
      <span class="ps-number">
        <Input kind="number" value={String(now.seed)} label="Seed of the split" onChange={takeSeed} />
      </span>
    </span>
  );
}
