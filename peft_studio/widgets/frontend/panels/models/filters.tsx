// What is looked for, which asks the registries, and what of the answers is shown, which asks nobody.
import { useState } from "preact/hooks";
import { Button } from "../../ui/button";
import { Input, Select } from "../../ui/field";
import { type Asked, EVERYTHING, type ModelsView, type Narrowed, ORDERED_HERE } from "./view";

const TASKS = [["text-generation", "Text generation"], ["", "Any task"]] as const;
const SORTS = [["downloads", "Most downloaded"], ["likes", "Most liked"], ["updated", "Newest"], ["parameters", "Fewest parameters"], ["size", "Smallest files"]] as const;
const SIZES = ["1", "3", "8", "14", "32"];
const options = (pairs: readonly (readonly [string, string])[]) => pairs.map(([value, title]) => ({ value, title }));

interface FiltersProps {
  view: ModelsView;
  narrowed: Narrowed;
  onSearch: (asked: Asked) => unknown;
  onOrder: (sort: string) => unknown;
  onNarrow: (narrowed: Narrowed) => void;
}

export function Filters({ view, narrowed, onSearch, onOrder, onNarrow }: FiltersProps) {
  const [text, setText] = useState<string | null>(null);
  const words = text ?? view.asked.text;
  const search = (change: Partial<Asked>): unknown => onSearch({ ...view.asked, text: words, ...change });
  const order = (sort: string): unknown => (words === view.asked.text && ORDERED_HERE.includes(sort) && ORDERED_HERE.includes(view.asked.sort) ? onOrder(sort) : search({ sort }));
  const licences = [...new Set(view.rows.map((row) => row.licence).filter(Boolean))].sort();
  const set = (change: Partial<Narrowed>): void => onNarrow({ ...narrowed, ...change });
  return (
    <div role="search" aria-label="Models">
      <div class="ps-sub ps-look-for" onKeyDown={(event) => event.key === "Enter" && event.target instanceof HTMLInputElement && void search({})}>
        <Input kind="search" icon="search" live value={words} label="Search models" placeholder="Name of a model, such as smollm" onChange={setText} />
        <Button kind="primary" onPress={() => search({})}>
          Search
        </Button>
      </div>
      <div class="ps-sub ps-narrow">
        <Select
          label="Registry"
          value={view.asked.registries[0] ?? ""}
          options={[{ value: "", title: "All registries" }, ...view.registries.map(({ name, title }) => ({ value: name, title }))]}
          onChange={(name) => void search({ registries: name ? [name] : [] })}
        />
        <Select label="Task" value={view.asked.task} options={options(TASKS)} onChange={(task) => void search({ task })} />
        <Select label="Order" value={view.asked.sort} options={options(SORTS)} onChange={(sort) => void order(sort)} />
        <Select label="Parameters" value={narrowed.size} options={[{ value: "", title: "Any size" }, ...SIZES.map((size) => ({ value: size, title: `Up to ${size} B` }))]} onChange={(size) => set({ size })} />
        <Select label="Licence" value={narrowed.licence} options={[{ value: "", title: "Any licence" }, ...licences.map((one) => ({ value: one, title: one }))]} onChange={(licence) => set({ licence })} />
        <Select label="Gate" value={narrowed.gated} options={options([["", "Gated or not"], ["open", "Not gated"], ["gated", "Gated"]])} onChange={(gated) => set({ gated })} />
        <Select label="Fit" value={narrowed.fits} options={options([["", "Fits or not"], ["ok", "Fits here"], ["tight", "Fits or tight"], ["sale", "Fits a GPU on sale"], ["either", "Fits here or on sale"], ["here", "On this machine"]])} onChange={(fits) => set({ fits })} />
        {Object.values(narrowed).some(Boolean) && (
          <Button small kind="quiet" onPress={() => onNarrow(EVERYTHING)}>
            Clear
          </Button>
        )}
      </div>
    </div>
  );
}
