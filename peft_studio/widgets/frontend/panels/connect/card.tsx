// A platform as a card: state, account, when it was last asked. Opened it has the whole width, and what can be done.
import { useEffect, useRef } from "preact/hooks";
import { useUnique } from "../../bridge/hooks";
import { Button, CopyButton, IconButton } from "../../ui/button";
import { Icon } from "../../ui/icon";
import { Detail } from "./detail";
import { ago, type Platform, type Run, stateOf } from "./view";

interface CardProps {
  platform: Platform;
  now: number;
  open: boolean;
  tier: string;
  onOpen: (open: boolean) => void;
  run: Run;
}

export function Card({ platform, now, open, tier, onOpen, run }: CardProps) {
  const id = useUnique();
  const box = useRef<HTMLElement>(null);
  const was = useRef(open);
  useEffect(() => {
    // Back to the button that opened it; into the first field when it opens.
    if (open && !was.current) (box.current?.querySelector<HTMLElement>("input") ?? box.current?.querySelector<HTMLElement>("button"))?.focus();
    if (!open && was.current) box.current?.querySelector<HTMLElement>("button")?.focus();
    was.current = open;
  }, [open]);
  const escape = (event: KeyboardEvent): void => {
    if (event.key !== "Escape" || !open || event.defaultPrevented) return;
    event.stopPropagation();
    onOpen(false);
  };
  return (
    <article class={`ps-card${open ? " ps-card-open" : ""}`} ref={box} aria-labelledby={id} data-name={platform.name} onKeyDown={escape}>
      <div class="ps-row ps-card-head">
        <h4 id={id} class="ps-cut" title={platform.title}>
          <bdi>{platform.title}</bdi>
        </h4>
        {open && <CardState platform={platform} />}
        <span class="ps-end">{open ? <IconButton icon="close" label={`Close ${platform.title}`} onPress={() => onOpen(false)} /> : <Action platform={platform} onOpen={() => onOpen(true)} run={run} />}</span>
      </div>
      {open ? <Detail platform={platform} now={now} tier={tier} onDone={() => onOpen(false)} run={run} /> : <Lines platform={platform} now={now} />}
    </article>
  );
}

function CardState({ platform }: { platform: Platform }) {
  const [word, icon, hue] = stateOf(platform);
  return (
    <span class="ps-state ps-s" data-state={platform.problem?.kind ?? platform.state}>
      <Icon name={icon} hue={hue} />
      {word}
    </span>
  );
}

function Lines({ platform, now }: { platform: Platform; now: number }) {
  const note = platform.problem?.message || platform.why_not || (platform.account ? (platform.account.name !== "nobody" ? platform.account.name : platform.account.note) : platform.summary);
  return (
    <>
      <p>
        <CardState platform={platform} />
      </p>
      <p class="ps-s ps-muted ps-two" dir="auto" title={note}>
        {note}
      </p>
      {platform.account && <p class="ps-xs ps-muted">checked {ago(platform.account.checked_at, now)}</p>}
    </>
  );
}

function Action({ platform, onOpen, run }: { platform: Platform; onOpen: () => void; run: Run }) {
  const of = `, ${platform.title}`;
  if (platform.state === "off")
    return (
      <Button small label={`Switch on${of}`} onPress={() => run("enable", { platform: platform.name })}>
        Switch on
      </Button>
    );
  if (platform.state === "refused") return <IconButton icon="more" label={`Why not${of}`} onPress={onOpen} />;
  if (platform.install && platform.problem) return <CopyButton text={platform.install} label="Copy" />;
  if (platform.state === "connected" && !platform.problem) return <IconButton icon="more" label={`Test, change, disconnect${of}`} onPress={onOpen} />;
  const again = platform.problem !== null || platform.state === "failed";
  return (
    <Button small label={`${again ? "See why" : "Connect"}${of}`} onPress={onOpen}>
      {again ? "See why" : "Connect"}
    </Button>
  );
}
