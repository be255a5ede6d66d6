// Where keys are kept: in words, and a passphrase to unlock the vault or to have one guard it.
import { useRef, useState } from "preact/hooks";
import { useCommands, useUnique } from "../../bridge/hooks";
import { Button } from "../../ui/button";
import { Icon } from "../../ui/icon";
import { Notice } from "../../ui/notice";
import { Password, take } from "../../ui/password";
import type { ConnectView } from "./view";

export function VaultLine({ tier, open, onToggle }: { tier: ConnectView["tier"]; open: boolean; onToggle: () => void }) {
  return (
    <span class="ps-tier">
      <Icon name={tier.durable ? "lock" : "warn"} hue={tier.durable && tier.open ? "muted" : "warn"} />
      <span>{SHORT[tier.name] ?? tier.sentence}{tier.open ? "" : ", locked now"}</span>
      <Button small kind="quiet" expanded={open} onPress={onToggle}>
        {tier.open ? "More" : "Unlock"}
      </Button>
    </span>
  );
}

const SHORT: Record<string, string> = {
  keystore: "Keys are kept in the key store of this computer",
  passphrase: "Keys are kept behind a passphrase",
  process: "Keys are kept until this kernel ends",
};

export function VaultSection({ tier, onDone }: { tier: ConnectView["tier"]; onDone: () => void }) {
  const commands = useCommands();
  const id = useUnique();
  const first = useRef<HTMLInputElement>(null);
  const second = useRef<HTMLInputElement>(null);
  const [said, setSaid] = useState("");
  const locked = tier.name === "passphrase" && !tier.open;
  const settable = tier.name === "process";
  const send = async (): Promise<void> => {
    const [one, two] = [take(first.current), settable ? take(second.current) : ""];
    if (settable && one !== two) return setSaid("The two differ. Type both again.");
    setSaid("");
    if ((await commands.run(locked ? "unlock" : "guard", { passphrase: one })) === true) onDone();
  };
  return (
    <div class="ps-sec ps-vault">
      <header>
        <h3>Where keys are kept</h3>
      </header>
      <p class="ps-s">{tier.sentence}</p>
      {tier.why && <p class="ps-s ps-muted">{tier.why.replace(/ A passphrase can guard them: .*$/, "")}</p>}
      {(locked || settable) && (
        <div class="ps-key">
          <label for={`${id}-1`} class="ps-s">
            {locked ? "Passphrase" : "A passphrase to guard them, of at least 8 characters"}
          </label>
          <Password id={`${id}-1`} label="Passphrase" control={first} onEnter={() => void send()} />
          {settable && (
            <>
              <label for={`${id}-2`} class="ps-s">
                Once more
              </label>
              <Password id={`${id}-2`} label="Passphrase once more" control={second} onEnter={() => void send()} />
              <p class="ps-xs ps-muted">Nobody can bring it back. Without it the keys kept here are lost, and you make new ones on the platforms.</p>
            </>
          )}
          <div class="ps-row">
            <Button onPress={send}>{locked ? "Unlock" : "Guard the keys"}</Button>
          </div>
        </div>
      )}
      {(said || commands.problem) && (
        <Notice hue="error" urgent fact={said || commands.problem!.message}>
          {!said && commands.problem!.hint && <p class="ps-s">{commands.problem!.hint}</p>}
        </Notice>
      )}
    </div>
  );
}
