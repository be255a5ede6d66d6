// Which runs are listed. The text is asked for when typing pauses; the choices at once.
import { useRef, useState } from "preact/hooks";
import { Button } from "../../ui/button";
import { Input, Select } from "../../ui/field";
import { stateWord } from "../../ui/state";
import type { Asked, RunsView } from "./view";

const PAUSE_MS = 250;
const SINCE = [["", "Started: any time"], ["1d", "Last day"], ["7d", "Last 7 days"], ["30d", "Last 30 days"]] as const;
const PROVIDERS: Record<string, string> = { local: "This machine" };
const NOTHING = { text: "", state: "", provider: "", since: "" };

export function Filters({ view, onFilter }: { view: RunsView; onFilter: (wanted: Pick<Asked, keyof typeof NOTHING>) => Promise<unknown> }) {
  const { asked } = view;
  const [draft, setDraft] = useState<string | null>(null); // what is being typed; null when the kernel has it
  const typing = useRef<ReturnType<typeof setTimeout> | undefined>(undefined);
  const text = draft ?? asked.text;
  const ask = (change: Partial<typeof NOTHING>): void => {
    clearTimeout(typing.current);
    void onFilter({ text, state: asked.state, provider: asked.provider, since: asked.since, ...change }).finally(() => setDraft(null));
  };
  const type = (words: string): void => {
    setDraft(words);
    clearTimeout(typing.current);
    typing.current = setTimeout(() => ask({ text: words }), PAUSE_MS);
  };
  const narrowed = text || asked.state || asked.provider || asked.since;
  return (
    <div class="ps-sub ps-filters" role="search">
      <Input kind="search" icon="search" value={text} live label="Search runs" placeholder="Name, model, method, id" onChange={type} />
      <Select
        label="State"
        value={asked.state}
        options={[{ value: "", title: "State: any" }, ...view.states.map((state) => ({ value: state, title: stateWord({ state }) }))]}
        onChange={(state) => ask({ state })}
      />
      <Select
        label="Provider"
        value={asked.provider}
        options={[{ value: "", title: "Where: anywhere" }, ...view.providers.map((name) => ({ value: name, title: PROVIDERS[name] ?? name }))]}
        onChange={(provider) => ask({ provider })}
      />
      <Select label="Started" value={asked.since} options={SINCE.map(([value, title]) => ({ value, title }))} onChange={(since) => ask({ since })} />
      {narrowed && (
        <Button small kind="quiet" onPress={() => ask(NOTHING)}>
          Clear
        </Button>
      )}
    </div>
  );
}
