// An opened card: what went wrong and what to do about it, the key, the account, and what else can be done.
import { useRef, useState } from "preact/hooks";
import { useUnique } from "../../bridge/hooks";
import { Button } from "../../ui/button";
import { Dialog } from "../../ui/dialog";
import { Input } from "../../ui/field";
import { Icon } from "../../ui/icon";
import { Notice } from "../../ui/notice";
import { Password, take } from "../../ui/password";
import { ago, type KeyField, type Platform, type Run, type Trouble } from "./view";

interface DetailProps {
  platform: Platform;
  now: number;
  tier: string;
  onDone: () => void;
  run: Run;
}

export function Detail({ platform, now, tier, onDone, run }: DetailProps) {
  const [asking, setAsking] = useState(false);
  const { account, problem } = platform;
  const connected = account !== null;
  const call = (name: string): Promise<unknown> => run(name, { platform: platform.name });
  return (
    <>
      {problem && <TroubleNotice problem={problem} />}
      {!problem && platform.why_not && <Notice hue={platform.state === "refused" ? "error" : "warn"} fact={platform.why_not} />}
      {platform.summary && <p class="ps-s ps-muted" dir="auto">{platform.summary}</p>}
      {account && (
        <dl class="ps-facts">
          <div>
            <dt>Account</dt>
            <dd dir="auto">{account.name === "nobody" ? "none: connected without a key" : `${account.name}${account.kind === "user" ? "" : `, ${account.kind}`}`}</dd>
          </div>
          <div>
            <dt>May publish</dt>
            <dd dir="auto">
              {account.can_write === null ? "—" : account.can_write ? "yes" : "no"}
              {account.note && `. ${account.note}`}
            </dd>
          </div>
          <div>
            <dt>Last check</dt>
            <dd>{ago(account.checked_at, now)}</dd>
          </div>
        </dl>
      )}
      {platform.state !== "refused" && <KeyForm platform={platform} connected={connected} tier={tier} onDone={onDone} run={run} />}
      <div class="ps-row ps-tight ps-more-acts">
        {connected && (
          <Button small icon="retry" onPress={() => call("test")}>
            Test again
          </Button>
        )}
        {connected && (
          <Button small onPress={() => setAsking(true)}>
            Disconnect…
          </Button>
        )}
        <Button small kind="quiet" onPress={() => call("disable").then(onDone)}>
          Switch off
        </Button>
      </div>
      {asking && (
        <Dialog
          title={`Disconnect ${platform.title}?`}
          facts={[
            ["Forgotten here", platform.fields.some((field) => field.secret) ? "its key and its account" : "its address and its account"],
            ["Stays", "the key on their side, until you delete it there; models on this machine"],
            ["What waits", "waits until it is connected again"],
          ]}
          verb="Disconnect"
          danger
          onConfirm={() => void call("disconnect").then(onDone)}
          onClose={() => setAsking(false)}
        />
      )}
    </>
  );
}

function TroubleNotice({ problem }: { problem: Trouble }) {
  return (
    <Notice hue={problem.kind === "silent" || problem.kind === "offline" || problem.kind === "wait" ? "warn" : "error"} urgent fact={problem.message}>
      {problem.hint && <p class="ps-s" dir="auto">{problem.hint}</p>}
      {problem.steps.length > 0 && (
        <ol class="ps-s ps-ways">
          {problem.steps.map((step) => (
            <li key={step}>{step}</li>
          ))}
        </ol>
      )}
    </Notice>
  );
}

/** The key is read once, when it is sent, and the field is empty at that moment. */
function KeyForm({ platform, connected, tier, onDone, run }: Omit<DetailProps, "now"> & { connected: boolean }) {
  const id = useUnique();
  const controls = useRef<Record<string, HTMLInputElement | null>>({});
  const [settings, setSettings] = useState<Record<string, string>>({});
  const [filled, setFilled] = useState<Record<string, boolean>>({});
  const missing = platform.fields.find((field) => field.required && !(field.secret ? filled[field.name] : settings[field.name]));
  const empty = !Object.values(filled).some(Boolean) && !Object.values(settings).some(Boolean);
  // An empty form must not take away the key of one that is connected.
  const reason = missing ? `${missing.title} is missing` : empty && connected ? "Nothing has been typed yet" : undefined;
  const send = async (env: Record<string, string> = {}): Promise<void> => {
    const typed = platform.fields.filter((field) => field.secret && !env[field.name]).map((field) => [field.name, take(controls.current[field.name])]);
    setFilled({});
    if ((await run("connect", { platform: platform.name, values: { ...settings, ...Object.fromEntries(typed) }, env })) === true) onDone();
  };
  const submit = (): unknown => (reason ? undefined : send());
  return (
    <div class="ps-key">
      {platform.fields.map((field) => (
        <div key={field.name} class="ps-key-field">
          <label for={`${id}-${field.name}`} class="ps-s">
            {connected && field.secret ? `Another ${field.title.toLowerCase()}` : field.title}
            {!field.required && <span class="ps-muted"> (optional)</span>}
          </label>
          {field.secret ? (
            <Password
              id={`${id}-${field.name}`}
              label={`${field.title} of ${platform.title}`}
              describedBy={`${id}-help`}
              control={(one) => void (controls.current[field.name] = one)}
              onFilled={(full) => setFilled((before) => ({ ...before, [field.name]: full }))}
              onEnter={() => void submit()}
            />
          ) : (
            <Input id={`${id}-${field.name}`} label={`${field.title} of ${platform.title}`} value={settings[field.name] ?? ""} live onChange={(value) => setSettings({ ...settings, [field.name]: value })} />
          )}
          {field.help && <p class="ps-xs ps-muted" dir="auto">{field.help}</p>}
          <Offers field={field} onUse={(variable) => send({ [field.name]: variable })} />
        </div>
      ))}
      <div class="ps-row ps-tight">
        <Button kind="primary" reason={reason} onPress={() => submit()}>
          {empty && !connected && !missing ? (platform.fields.some((field) => field.secret) ? "Connect without a key" : "Connect") : "Test and save"}
        </Button>
        {platform.docs_url && (
          <a class="ps-btn" href={platform.docs_url} target="_blank" rel="noopener noreferrer">
            Open its page of keys
          </a>
        )}
      </div>
      <p class="ps-s ps-muted ps-row" id={`${id}-help`}>
        <Icon name="lock" />
        <span>{tier} It enters no notebook and no log.</span>
      </p>
    </div>
  );
}

function Offers({ field, onUse }: { field: KeyField; onUse: (variable: string) => Promise<void> }) {
  return (
    <>
      {field.offered.map(({ variable, wrong }) => (
        <p key={variable} class="ps-s ps-row ps-tight">
          <span>
            <code>{variable}</code> is set. {wrong}
          </span>
          <Button small reason={wrong || undefined} label={`Use ${variable}`} onPress={() => onUse(variable)}>
            Use it
          </Button>
        </p>
      ))}
    </>
  );
}
