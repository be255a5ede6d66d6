// One field of the spec, and the groups of them.
import { useState } from "preact/hooks";
import { useLocal, type useCommands } from "../../bridge/hooks";
import { Button } from "../../ui/button";
import { Input, Segmented, Select } from "../../ui/field";
import { describedBy, FormField } from "../../ui/form-field";
import { TryRates } from "./sweep";
import type { FieldView, TrainView } from "./view";

type Commands = ReturnType<typeof useCommands>;

interface FieldProps {
  view: TrainView;
  name: string;
  field: FieldView;
  formId: string;
  commands: Commands;
}

const FEW = 32; // characters of choices that stand side by side; more are a list

const isFew = ({ kind, choices }: FieldView): boolean => kind === "choice" && choices.map(([, title]) => title).join("").length <= FEW;

export function SpecField({ view, name, field, formId, commands }: FieldProps) {
  const [open, setOpen] = useLocal<string | null>("why", null); // one at a time
  const id = `${formId}-${name}`;
  const sideBySide = isFew(field);
  const meant = field.meanings.length > 0; // its hint says what the choice means; others say what a number comes to
  const below = meant ? field.hint : "";
  return (
    <FormField
      id={id}
      label={field.title}
      changed={field.changed}
      back={field.changed ? { words: field.default, onPress: () => void commands.run("reset", { field: name }) } : undefined}
      why={{ facts: facts(field, commands), open: open === name, onToggle: () => setOpen(open === name ? null : name) }}
      note={meant ? "" : field.hint}
      hint={below}
      error={field.error}
      group={sideBySide}
    >
      <Control name={name} field={field} id={id} describedBy={describedBy(id, { hint: below, error: field.error })} commands={commands} />
      {name === "learning_rate" && <TryRates view={view} commands={commands} />}
    </FormField>
  );
}

interface ControlProps {
  name: string;
  field: FieldView;
  id: string;
  describedBy: string | undefined;
  commands: Commands;
}

function Control({ name, field, id, describedBy, commands }: ControlProps) {
  const [sent, setSent] = useState<string | null>(null); // shown until the kernel has answered
  const set = async (value: string): Promise<void> => {
    setSent(value);
    await commands.run("set_field", { field: name, value });
    setSent(null);
  };
  const { title: label, kind } = field;
  const value = sent ?? field.text;
  const invalid = field.error !== null;
  if (kind === "choice") {
    const options = field.choices.map(([one, title]) => ({ value: one, title }));
    const shared = { value, options, label, onChange: (one: string) => void set(one) };
    return isFew(field) ? <Segmented {...shared} /> : <Select {...shared} id={id} describedBy={describedBy} />;
  }
  if (kind === "switch")
    return (
      <label class="ps-check">
        <input id={id} type="checkbox" aria-label={label} checked={value === "on"} onChange={(event) => void set((event.target as HTMLInputElement).checked ? "on" : "off")} />
        {value === "on" ? "On" : "Off"}
      </label>
    );
  if (kind === "lines")
    return (
      <span class="ps-wide">
        <textarea id={id} class="ps-area" rows={3} value={value} placeholder="One a line" aria-label={label} aria-describedby={describedBy} onChange={(event) => void set((event.target as HTMLTextAreaElement).value)} />
      </span>
    );
  const input = <Input id={id} value={value} label={label} kind={kind} unit={field.unit} placeholder={field.empty} invalid={invalid} describedBy={describedBy} onChange={set} />;
  return kind === "text" ? <span class="ps-wide">{input}</span> : input;
}

function facts(field: FieldView, commands: Commands): [string, preact.ComponentChildren][] {
  const found: [string, preact.ComponentChildren][] = [
    ["Default", field.default],
    ["Why", field.why],
    ["Source", <Source key="source" text={field.source} />],
  ];
  if (field.meanings.length)
    found.push(["Choices", field.meanings.map(([choice, words]) => <p key={choice}><b>{field.choices.find(([one]) => one === choice)?.[1] ?? "None"}</b> {words}</p>)]);
  const { effect } = field;
  if (effect)
    found.push([
      "Effect",
      <>
        {effect.lines.map((line) => (
          <p key={line}>{line}</p>
        ))}
        {effect.fix && (
          <Button small onPress={() => void commands.run("apply", { changes: effect.fix?.changes })}>
            {effect.fix.title}
          </Button>
        )}
      </>,
    ]);
  return found;
}

const ARXIV = /arXiv (\d{4}\.\d{5})/;

/** Papers are linked by their number; the text comes from our own defaults. */
function Source({ text }: { text: string }) {
  const parts = text.split(ARXIV);
  return (
    <>
      {parts.map((part, at) =>
        at % 2 ? (
          <a key={at} href={`https://arxiv.org/abs/${part}`} target="_blank" rel="noopener noreferrer">
            arXiv {part}
          </a>
        ) : (
          part
        ),
      )}
    </>
  );
}

/** All fields but the simple ones. Folded groups open on demand, and by themselves when something in them needs a look. */
export function Advanced({ view, formId, find, commands }: { view: TrainView; formId: string; find: string; commands: Commands }) {
  const [opened, setOpened] = useLocal<string[]>("groups", []);
  const wanted = find.trim().toLowerCase();
  const groups = view.groups.slice(1).map((group) => ({ ...group, fields: group.fields.filter((name) => matches(name, view.fields[name], wanted)) }));
  const shown = groups.filter((group) => group.fields.length);
  if (!shown.length) return <p class="ps-muted ps-s">No setting is called that.</p>;
  return (
    <>
      {shown.map((group) => {
        const attention = group.fields.some((name) => view.fields[name]?.error);
        const open = !group.folded || wanted !== "" || attention || opened.includes(group.title);
        const toggle = (): void => setOpened(open ? opened.filter((one) => one !== group.title) : [...opened, group.title]);
        const changed = group.fields.filter((name) => view.fields[name]?.changed).length;
        return (
          <div key={group.title} class="ps-group" role="group" aria-label={group.title}>
            {group.folded && !wanted ? (
              <Button kind="quiet" small icon={open ? "down" : "right"} expanded={open} onPress={toggle}>
                {group.title}, {group.fields.length} settings{changed ? `, ${changed} changed` : ""}
              </Button>
            ) : (
              <h3>{group.title}</h3>
            )}
            {open && (
              <div class="ps-form">
                {group.fields.map((name) => {
                  const field = view.fields[name];
                  return field && <SpecField key={name} view={view} name={name} field={field} formId={formId} commands={commands} />;
                })}
              </div>
            )}
          </div>
        );
      })}
    </>
  );
}

function matches(name: string, field: FieldView | undefined, wanted: string): boolean {
  return !wanted || name.includes(wanted.replaceAll(" ", "_")) || Boolean(field?.title.toLowerCase().includes(wanted));
}
