// Which runs are listed. The text is asked for when typing pauses; the choices at once.
import { useRef, useState } from "preact/hooks";
import { Button } from "../../ui/button";
import { Input, Select } from "../../ui/field";
import { stateWord } from "../../ui/state";
import { SEARCH } from "../../ui/shapes";
import type { Asked, RunsView } from "./view";

const PAUSE_MS = 250;
const SINCE = [["", "Started: any time"], ["1d", "Last day"], ["7d", "Last 7 days"], ["30d", "Last 30 days"]] as const;
const PROVIDERS: Record<string, string> = { local: "This machine" };
const NOTHING = { text: "", state: "", provider: "", since: "" };

export function Filters({ view, onFilter }: { view: RunsView; onFilter: (wanted: Pick<Asked, keyof typeof NOTHING>) => Promise<unknown> }) {
  // What was clicked or typed counts at once; the kernel's word, which other views may have changed, counts after it.
  const [draft, setDraft] = useState<Partial<typeof NOTHING>>({});
  const typing = useRef<ReturnType<typeof setTimeout> | undefined>(undefined);
  const asked = { ...view.asked, ...draft };
  const ask = (change: Partial<typeof NOTHING>): void => {
    clearTimeout(typing.current);
    const { text, state, provider, since } = { ...asked, ...change };
    setDraft({ text, state, provider, since });
    void onFilter({ text, state, provider, since }).finally(() => setDraft({}));
  };
  const type = (text: string): void => {
    setDraft({ ...draft, text });
    clearTimeout(typing.current);
    typing.current = setTimeout(() => ask({ text }), PAUSE_MS);
  };
  const narrowed = asked.text || asked.state || asked.provider || asked.since;
  return (
    <div class="ps-sub ps-filters" role="search">
      <Input kind="search" icon={SEARCH} value={asked.text} live label="Search runs" placeholder="Name, model, method, id" onChange={type} />
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
