// Which machines are listed. The text counts when typing pauses, the choices at once.
import { useRef, useState } from "preact/hooks";
import { Button } from "../../ui/button";
import { Input, Select } from "../../ui/field";
import type { Asked, Market, Run } from "./view";

const PAUSE_MS = 250;
const NOTHING = { gpu: "", spot: "", provider: "", region: "", fits: false };

export function Filters({ asked, market, run }: { asked: Asked; market: Market; run: Run }) {
  const [draft, setDraft] = useState<Partial<typeof NOTHING>>({});
  const typing = useRef<ReturnType<typeof setTimeout> | undefined>(undefined);
  const { gpu, spot, provider, region, fits } = { ...asked, ...draft };
  const ask = (change: Partial<typeof NOTHING>): void => {
    clearTimeout(typing.current);
    const wanted = { gpu, spot, provider, region, fits, ...change };
    setDraft(wanted);
    void run("narrow", wanted).finally(() => setDraft({}));
  };
  const type = (words: string): void => {
    setDraft({ ...draft, gpu: words });
    clearTimeout(typing.current);
    typing.current = setTimeout(() => ask({ gpu: words }), PAUSE_MS);
  };
  return (
    <div class="ps-sub ps-market-filters" role="search">
      <Input kind="search" icon="search" live value={gpu} label="GPU" placeholder="GPU, as “A100”" onChange={type} />
      <Select label="Kind" value={spot} options={[{ value: "", title: "Every kind" }, { value: "no", title: "On demand" }, { value: "only", title: "Spot" }]} onChange={(value) => ask({ spot: value })} />
      <Select label="Provider" value={provider} options={[{ value: "", title: "Every provider" }, ...market.providers.map((one) => ({ value: one.name, title: one.title }))]} onChange={(value) => ask({ provider: value })} />
      {market.regions.length > 1 && <Select label="Region" value={region} options={[{ value: "", title: "Every region" }, ...market.regions.map((one) => ({ value: one, title: one }))]} onChange={(value) => ask({ region: value })} />}
      <label class="ps-check">
        <input type="checkbox" checked={fits} onChange={() => ask({ fits: !fits })} />
        Only what fits
      </label>
      {(gpu || spot || provider || region || fits) && (
        <Button small kind="quiet" onPress={() => ask(NOTHING)}>
          Clear
        </Button>
      )}
    </div>
  );
}
