// How answers are made: what the core's chat takes, and nothing else.
import { useState } from "preact/hooks";
import { useUnique, useCommands } from "../../bridge/hooks";
import { Button } from "../../ui/button";
import { Input } from "../../ui/field";
import { Notice } from "../../ui/notice";
import type { Process, Settings } from "./view";

const FIELDS: { name: "max_new_tokens" | "temperature" | "top_p" | "seed"; title: string; hint: string }[] = [
  { name: "max_new_tokens", title: "Longest answer", hint: "in tokens" },
  { name: "temperature", title: "Temperature", hint: "0: always the likeliest token" },
  { name: "top_p", title: "Top p", hint: "with a temperature above 0" },
  { name: "seed", title: "Seed", hint: "empty: another draw each time" },
];

export function SettingsSection({ settings, process, busy }: { settings: Settings; process: Process; busy: boolean }) {
  const commands = useCommands();
  const set = (name: string, value: string | boolean): void => void commands.run("set_option", { name, value });
  return (
    <div class="ps-sec" role="group" aria-label="Settings">
      <div class="ps-settings">
        {FIELDS.map(({ name, title, hint }) => (
          <SettingField key={name} name={name} title={title} hint={hint} value={settings[name] === null ? "" : String(settings[name])} onSet={(value) => set(name, value)} />
        ))}
      </div>
      {commands.problem && (
        <Notice hue="error" urgent fact={commands.problem.message}>
          <p class="ps-s">{commands.problem.hint}</p>
        </Notice>
      )}
      <div class="ps-row ps-tight">
        <label class="ps-check">
          <input type="checkbox" checked={settings.remember} onChange={(event) => set("remember", (event.target as HTMLInputElement).checked)} />
          Send the conversation along
        </label>
        <span class="ps-end">
          <Button small reason={busy ? "An answer is still being written" : process.state !== "open" ? "Nothing is loaded" : undefined} onPress={() => void commands.run("free")}>
            Free memory
          </Button>
        </span>
      </div>
    </div>
  );
}

/** What is being typed stays while the panel is drawn again, which happens ten times a second under an answer; Enter or leaving sets it. */
function SettingField({ name, title, hint, value, onSet }: { name: string; title: string; hint: string; value: string; onSet: (value: string) => void }) {
  const id = useUnique();
  const [typed, setTyped] = useState<string | null>(null);
  const commit = (): void => {
    if (typed !== null && typed !== value) onSet(typed);
    setTyped(null);
  };
  return (
    <div onFocusOut={commit} onKeyDown={(event) => event.key === "Enter" && commit()}>
      <span class="ps-s">{title}</span>
      <Input live value={typed ?? value} label={title} kind="number" describedBy={`${id}-${name}`} onChange={setTyped} />
      <span id={`${id}-${name}`} class="ps-xs ps-muted">
        {hint}
      </span>
    </div>
  );
}
