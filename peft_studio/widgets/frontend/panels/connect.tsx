// The Connect panel: platforms, where keys are kept, the network, what waits for it. Its twin is widgets/connect.py.
import { useState } from "preact/hooks";
import type { Problem } from "../bridge/bridge";
import { useBridge, useCommands, useLocal, useNow, useUnique } from "../bridge/hooks";
import { definePanel } from "../bridge/panel";
import { Button } from "../ui/button";
import { Input } from "../ui/field";
import { Trouble, Waiting } from "../ui/frame";
import { PanelHead } from "../ui/head";
import { Icon } from "../ui/icon";
import { Notice } from "../ui/notice";
import "../ui/icons-more";
import "../ui/tokens.css";
import "../ui/kit.css";
import "./connect/connect.css";
import { Card } from "./connect/card";
import { OutboxSection } from "./connect/outbox";
import { VaultLine, VaultSection } from "./connect/vault";
import { type ConnectView, grouped, isReady, type Platform } from "./connect/view";

const MANY = 6; // platforms, from which on one looks for them by name
const TIERS: Record<string, string> = {
  keystore: "The key goes to the key store of this computer.",
  passphrase: "The key goes into the sealed vault.",
  process: "The key stays in this kernel and is gone with it.",
};

function ConnectPanel() {
  const bridge = useBridge();
  const commands = useCommands();
  const titleId = useUnique();
  const view = bridge.sections as unknown as ConnectView;
  const [open, setOpen] = useLocal<string | null>("open", null);
  const [vault, setVault] = useLocal("vault", false);
  const [text, setText] = useState("");
  const now = useNow(bridge.watched);
  const failed = bridge.sections["problem"] as Problem | null | undefined;
  const problem = failed ?? commands.problem; // what goes wrong with a platform stands on its card
  if (!view.platforms)
    return (
      <section class="ps ps-connect" aria-labelledby={titleId}>
        <Waiting title="Connect" titleId={titleId} said="Asking the installed connectors who they are" problem={problem} />
      </section>
    );
  const matching = view.platforms.filter((one) => `${one.title} ${one.name} ${one.roles.join(" ")}`.toLowerCase().includes(text.toLowerCase()));
  const { network } = view;
  return (
    <section class="ps ps-connect" aria-labelledby={titleId}>
      <PanelHead icon="key" title="Connect" titleId={titleId} code={view.code} context={<span role="status">{ready(view.platforms)}</span>}>
        {view.platforms.length > MANY && <Input kind="search" icon="search" live value={text} label="Find a platform" placeholder="Find a platform" onChange={setText} />}
        <Button icon={network.offline ? "globe" : "offline"} onPress={() => commands.run(network.offline ? "go_online" : "go_offline")}>
          {network.offline ? "Go online" : "Work offline"}
        </Button>
      </PanelHead>
      <p class="ps-sub">
        <VaultLine tier={view.tier} open={vault} onToggle={() => setVault(!vault)} />
        <span class="ps-end">
          <Icon name={network.offline ? "offline" : "globe"} hue={network.offline ? "warn" : "muted"} />
          {network.offline ? "Offline" : "Online, as far as known"}
        </span>
      </p>
      {network.offline && (
        <div class="ps-sec">
          <Notice hue="warn" icon="offline" polite fact={network.by_hand ? "You work offline" : `There is no network: ${network.reason}`}>
            <p class="ps-s">
              {network.by_hand && network.reason && `${network.reason}. `}Runs, chat and everything on this machine go on. Nothing leaves this kernel{network.by_hand ? "" : " until an answer comes"}; what is to be sent waits below.
            </p>
          </Notice>
        </div>
      )}
      {problem && <Trouble problem={problem} onDismiss={failed ? undefined : commands.dismiss} />}
      {vault && <VaultSection tier={view.tier} onDone={() => setVault(false)} />}
      {grouped(matching).map(([title, ones]) => (
        <div key={title} class="ps-sec">
          <header>
            <h3>{title}</h3>
            <span class="ps-muted ps-s">{`${ones.filter(isReady).length} of ${ones.length} ready`}</span>
          </header>
          <div class="ps-cards">
            {[...ones].sort((one, two) => Number(two.name === open) - Number(one.name === open)).map((one) => (
              <Card key={one.name} platform={one} now={now} tier={TIERS[view.tier.name] ?? ""} open={open === one.name} onOpen={(on) => setOpen(on ? one.name : null)} run={commands.run} />
            ))}
          </div>
        </div>
      ))}
      {matching.length === 0 && <p class="ps-sec ps-muted ps-s">{text ? "No platform of that name." : "No platform is switched on: PEFT_STUDIO_CONNECTORS leaves them out."}</p>}
      <OutboxSection outbox={view.outbox} offline={network.offline} now={now} run={commands.run} />
    </section>
  );
}

const ready = (platforms: Platform[]): string => `${platforms.filter(isReady).length} of ${platforms.length} ready`;

export default definePanel(() => null, ConnectPanel);
