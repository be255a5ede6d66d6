// The Compute panel: what the draft would cost on this machine and on every one on sale, and the question before one is rented.
// Its twin is widgets/compute.py.
import { useState } from "preact/hooks";
import type { Problem } from "../bridge/bridge";
import { useBridge, useCommands, useNow, useUnique } from "../bridge/hooks";
import { definePanel } from "../bridge/panel";
import { Button, IconButton } from "../ui/button";
import { Empty } from "../ui/empty";
import { count, duration, method } from "../ui/format";
import { Trouble, Waiting } from "../ui/frame";
import { PanelHead } from "../ui/head";
import { Notice } from "../ui/notice";
import { Skeleton } from "../ui/skeleton";
import "../ui/icons-more";
import "../ui/tokens.css";
import "../ui/kit.css";
import "./compute/compute.css";
import { Confirm } from "./compute/confirm";
import { Filters } from "./compute/filters";
import { Machines } from "./compute/machines";
import type { ComputeView, Market, Proposal, Run } from "./compute/view";

const STEPS: Record<string, { said: string; verb: string; panel: string }> = {
  model: { said: "a model", verb: "Choose a model", panel: "models" },
  data: { said: "data", verb: "Choose data", panel: "data" },
  train: { said: "a run that is set up", verb: "Set it up", panel: "train" },
};

function ComputePanel() {
  const bridge = useBridge();
  const commands = useCommands();
  const titleId = useUnique();
  const [asking, setAsking] = useState<Proposal | null>(null);
  const now = useNow(bridge.watched);
  const view = bridge.sections as unknown as ComputeView;
  const problem = commands.problem ?? (bridge.sections["problem"] as Problem | null | undefined);
  const renting = view.renting || (bridge.pending.some((one) => one.name === "rent") ? "the provider" : "");
  if (!view.asked || view.missing.length > 0)
    return (
      <section class="ps ps-compute" aria-labelledby={titleId}>
        {view.asked ? (
          <Nothing view={view} titleId={titleId} run={commands.run} />
        ) : (
          <Waiting title="Compute" titleId={titleId} said="Looking at what is to be run" problem={problem} />
        )}
      </section>
    );
  const { market, started } = view;
  const choose = async (key: string): Promise<void> => setAsking((await commands.run("propose", { key })) as Proposal | null);
  const rent = ({ key, max_usd, max_hours, next }: Proposal): Promise<unknown> => commands.run("rent", { key, max_usd, max_hours, then: next.filter((one) => one.on).map((one) => one.key) });
  const busy = renting ? `A machine is being rented at ${renting}` : view.current ? undefined : "The totals are of what the run was before";
  const found = market === null ? view.problem_found : null;
  return (
    <section class="ps ps-compute" aria-labelledby={titleId}>
      <PanelHead icon="rack" title="Compute" titleId={titleId} code={view.code} context={<bdi>for {view.draft}, {method(view.recipe[0])} r{view.recipe[1]}</bdi>}>
        {view.state === "busy" && market ? <span class="ps-s ps-muted ps-hide-s">asking the providers</span> : market?.seen_at != null && <span class="ps-s ps-muted ps-hide-s">prices from {duration(Math.max(1, now / 1000 - market.seen_at))} ago</span>}
        <IconButton icon="retry" label="Look again" reason={view.offline ? `Offline: ${view.offline}` : view.state === "busy" ? "The providers are being asked" : undefined} onPress={() => void commands.run("look_again")} />
      </PanelHead>
      <p class="ps-hidden" role="status">
        {renting ? `Renting at ${renting}` : view.state === "busy" ? "Asking the providers" : market ? said(market) : ""}
      </p>
      {problem && <Trouble problem={problem} onDismiss={commands.problem ? commands.dismiss : undefined} />}
      {found && <Trouble problem={found} />}
      {!market && !found && <Skeleton said="Asking the providers what is on sale, and working out what the run would take" />}
      {market && (
        <>
          <Filters asked={view.asked} market={market} run={commands.run} />
          <Notices view={view} market={market} run={commands.run} />
          {market.listed === 0 ? (
            <p class="ps-sec ps-muted ps-s">No machine matches. Clear the filters to see all {count(market.every)}.</p>
          ) : (
            <Machines rows={market.rows} asked={view.asked} now={now} offline={view.offline} busy={busy} run={commands.run} onChoose={choose} />
          )}
          {market.listed > market.rows.length && (
            <p class="ps-more-machines">
              <Button small onPress={() => commands.run("more")}>
                Show more of {count(market.listed)}
              </Button>
            </p>
          )}
          {market.notes.length > 0 && (
            <ul class="ps-said ps-s ps-muted" aria-label="Notes">
              {market.notes.map((note) => (
                <li key={note} dir="auto">
                  {note}
                </li>
              ))}
            </ul>
          )}
        </>
      )}
      {(renting || started || market) && (
        <footer class="ps-foot ps-s">
          <span class={started ? "" : "ps-muted"}>
            {renting ? `Renting at ${renting}, after one more look at its price.` : started ? `Started ${started}, shown in the step Run.` : market ? `${said(market)}. Totals include starting, installing, downloads, disk and traffic.` : ""}
          </span>
        </footer>
      )}
      {asking && <Confirm first={asking} run={commands.run} onRent={rent} onClose={() => setAsking(null)} />}
    </section>
  );
}

/** What has to be there before anything can be quoted. */
function Nothing({ view, titleId, run }: { view: ComputeView; titleId: string; run: Run }) {
  const steps = view.missing.map((name) => STEPS[name]!);
  return (
    <Empty icon="rack" title="Compute" titleId={titleId} text={`What a run would cost, here and on rented machines, is shown once there is ${steps.map((one) => one.said).join(" and ")}.`}>
      {steps.map((one, at) => (
        <Button key={one.panel} kind={at === 0 ? "primary" : "quiet"} onPress={() => run("go", { panel: one.panel })}>
          {one.verb}
        </Button>
      ))}
    </Empty>
  );
}

/** Who did not answer, each by itself; that nobody is connected; that there is no network. */
function Notices({ view, market, run }: { view: ComputeView; market: Market; run: Run }) {
  const again = !view.offline && (
    <Button small onPress={() => run("look_again")}>
      Try again
    </Button>
  );
  const notices = market.notices.filter((one) => !(view.offline && one.old)); // the network's absence is said once
  if (!notices.length && market.connected.length && !view.offline) return null;
  return (
    <div class="ps-sec ps-notices">
      {view.offline && <Notice hue="warn" icon="offline" fact={`Offline: ${view.offline}`}><p class="ps-s">What was seen last is shown. Renting waits for the network.</p></Notice>}
      {market.connected.length === 0 && (
        <Notice hue="info" fact="No provider of machines is connected" actions={<Button small onPress={() => run("go", { panel: "connect" })}>Connect one</Button>}>
          <p class="ps-s">This machine is all there is to choose from.</p>
        </Notice>
      )}
      {notices.map((one) => (
        <Notice key={one.title} hue="warn" polite fact={`${one.title} did not answer`} actions={again}>
          <p class="ps-s" dir="auto">
            {one.old ? `Its machines are shown from before, ${one.why}` : one.why}
          </p>
          <p class="ps-s">{one.old ? "" : "None of its machines are listed. "}The others are not affected.</p>
        </Notice>
      ))}
    </div>
  );
}

function said(market: Market): string {
  const offers = `${market.total === market.every ? "" : `${count(market.total)} of `}${count(market.every)} ${market.every === 1 ? "offer" : "offers"}`;
  return market.connected.length ? `${offers} from ${market.connected.join(", ")}` : "No offers";
}

export default definePanel(() => null, ComputePanel);
