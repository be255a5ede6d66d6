// Which base, and which adapters stand ready on it.
import { useState } from "preact/hooks";
import { useCommands } from "../../bridge/hooks";
import { Button } from "../../ui/button";
import { Input, Select } from "../../ui/field";
import { Notice } from "../../ui/notice";
import type { Setup } from "./view";

const OTHER = " other"; // names are trimmed, so none is this

export function SetupSection({ setup, busy }: { setup: Setup; busy: boolean }) {
  const models = useCommands();
  const adapters = useCommands();
  const [naming, setNaming] = useState(false);
  const [adding, setAdding] = useState(false);
  const [model, setModel] = useState("");
  const [path, setPath] = useState("");
  const [vouched, setVouched] = useState(false);
  const doubted = setup.slots.filter((slot) => slot.on && slot.doubt);
  const locked = busy ? "An answer is still being written" : undefined;
  const chooseModel = async (): Promise<void> => {
    if ((await models.run("choose_model", { model })) !== null) setNaming(false);
  };
  const addFolder = async (): Promise<void> => {
    // A refusal leaves the path where it was typed.
    if ((await adapters.run("add_folder", { path, same_base: vouched })) === null) return;
    setAdding(false);
    setPath("");
    setVouched(false);
  };
  return (
    <div class="ps-sec ps-setup">
      <div class="ps-pick">
        <span class="ps-s ps-muted">Base model</span>
        <Select
          label="Base model"
          value={naming ? OTHER : (setup.model ?? "")}
          options={[
            ...(setup.model === null ? [{ value: "", title: "Choose a base model" }] : []),
            ...setup.models.map((one) => ({ ...one, reason: locked })),
            { value: OTHER, title: "Another model…" },
          ]}
          onChange={(value) => {
            setNaming(value === OTHER);
            if (value !== OTHER && value !== "") void models.run("choose_model", { model: value });
          }}
        />
        {naming && (
          <span class="ps-row">
            <Input value={model} live label="Hub id or folder of a base model" placeholder="org/name or folder" onChange={setModel} />
            <Button reason={model.trim() === "" ? "Name a model first" : locked} onPress={() => void chooseModel()}>
              Use
            </Button>
          </span>
        )}
        <Refusal commands={models} />
      </div>
      <div class="ps-pick">
        <span class="ps-s ps-muted">Adapters</span>
        <Select
          label="Add an adapter"
          value={adding ? OTHER : ""}
          options={[
            { value: "", title: setup.offered.length || setup.slots.length > 1 ? "Add an adapter…" : "No run with an adapter for this base yet" },
            ...setup.offered,
            { value: OTHER, title: "From a folder…" },
          ]}
          onChange={(value) => {
            setAdding(value === OTHER);
            if (value !== OTHER && value !== "") void adapters.run("add_run", { run_id: value });
          }}
        />
        {adding && (
          <span class="ps-row">
            <Input value={path} live label="Folder of an adapter" placeholder="folder with adapter_config.json" invalid={adapters.problem !== null} onChange={setPath} />
            <Button reason={path.trim() === "" ? "Name a folder first" : undefined} onPress={() => void addFolder()}>
              Add
            </Button>
          </span>
        )}
        <Refusal commands={adapters} />
        {adding && (adapters.problem?.code === "other-base" || vouched) && (
          <label class="ps-check">
            <input type="checkbox" checked={vouched} onChange={(event) => setVouched((event.target as HTMLInputElement).checked)} />
            It was trained on this base, under another name
          </label>
        )}
        {doubted.map((slot) => (
          <Notice key={slot.number} hue="warn" fact={`${slot.title} may be one of another base`}>
            <p class="ps-s" dir="auto">{slot.doubt}</p>
          </Notice>
        ))}
      </div>
    </div>
  );
}

function Refusal({ commands }: { commands: ReturnType<typeof useCommands> }) {
  if (!commands.problem) return null;
  return (
    <Notice hue="error" urgent fact={commands.problem.message} actions={<Button small kind="quiet" onPress={commands.dismiss}>Dismiss</Button>}>
      {commands.problem.hint && <p class="ps-s" dir="auto">{commands.problem.hint}</p>}
    </Notice>
  );
}
