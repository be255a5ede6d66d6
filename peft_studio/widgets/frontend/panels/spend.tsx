// The Spend panel: machines and their meters, dollars by time, day, provider and run, and the month's cap. Its twin is widgets/spend.py.
import { useState } from "preact/hooks";
import type { Problem } from "../bridge/bridge";
import { useBridge, useCommands, useUnique } from "../bridge/hooks";
import { definePanel } from "../bridge/panel";
import { Button } from "../ui/button";
import { Empty } from "../ui/empty";
import { Input } from "../ui/field";
import { Trouble, Waiting } from "../ui/frame";
import { PanelHead } from "../ui/head";
import { Meter } from "../ui/meter";
import { Notice } from "../ui/notice";
import "../ui/icons-more";
import "../ui/tokens.css";
import "../ui/kit.css";
import "./spend/spend.css";
import { DaysSection } from "./spend/days";
import { EndDialog, MachinesSection } from "./spend/machines";
import type { Alarm, Amount, Machine, RunAmount, SpendView } from "./spend/view";

const SHOWN = 2; // alarms, the loudest; more fold away

type Run = ReturnType<typeof useCommands>["run"];

function SpendPanel() {
  const bridge = useBridge();
  const commands = useCommands();
  const titleId = useUnique();
  const [ending, setEnding] = useState<Machine | null>(null);
  const [all, setAll] = useState(false);
  const view = bridge.sections as unknown as SpendView;
  const problem = commands.problem ?? (bridge.sections["problem"] as Problem | null | undefined);
  if (!view.totals)
    return (
      <section class="ps ps-spend" aria-labelledby={titleId}>
        <Waiting title="Spend" titleId={titleId} said="Reading what was spent" problem={problem} />
      </section>
    );
  const spent = view.runs.length > 0;
  const { now } = view;
  return (
    <section class="ps ps-spend" aria-labelledby={titleId}>
      {spent || view.machines.length ? (
        <PanelHead icon="chart" title="Spend" titleId={titleId} code={view.code} context={<span role="status">{now.machines ? `${now.rate} now, ${now.per_day} a day` : "nothing is on the meter"}</span>}>
          <Button small icon="retry" reason={view.asking ? "A provider is being asked" : undefined} onPress={() => commands.run("fetch_bills")}>
            Ask for bills
          </Button>
        </PanelHead>
      ) : (
        <Empty icon="chart" title="Spend" titleId={titleId} text={view.connected ? "No machine was ever rented from here, and none with our name is at the providers that are connected." : "No machine was ever rented from here. What this computer does is not charged."}>
          {view.connected ? (
            <Button kind="quiet" reason={view.asking ? "They are being asked" : undefined} onPress={() => commands.run("look_again")}>
              Ask the providers again
            </Button>
          ) : (
            <Button kind="primary" onPress={() => commands.run("go", { panel: "connect" })}>
              Connect a provider
            </Button>
          )}
        </Empty>
      )}
      {problem && <Trouble problem={problem} onDismiss={commands.problem ? commands.dismiss : undefined} />}
      <div class="ps-notices">
        {view.alarms.slice(0, all ? undefined : SHOWN).map((alarm) => (
          <AlarmNotice key={alarm.kind + alarm.label} alarm={alarm} machine={view.machines.find((one) => one.label === alarm.label)} onEnd={setEnding} run={commands.run} />
        ))}
        {view.alarms.length > SHOWN && (
          <p>
            <Button small kind="quiet" expanded={all} onPress={() => setAll(!all)}>
              {all ? "Fewer" : `${view.alarms.length - SHOWN} more`}
            </Button>
          </p>
        )}
        {view.said.map((line) => (
          <p key={line} class="ps-said" role="status" dir="auto">
            {line}
          </p>
        ))}
      </div>
      {view.machines.length > 0 && <MachinesSection machines={view.machines} onEnd={setEnding} onRun={(id) => void commands.run("open_run", { run_id: id })} />}
      <div class="ps-sec" role="region" aria-label="Spent">
        {spent && <Totals totals={view.totals} />}
        <Cap cap={view.cap} run={commands.run} />
      </div>
      {spent && <DaysSection days={view.days} series={view.series} />}
      {spent && (
        <div class="ps-halves">
          <Amounts title="By provider" column="Provider" first="This month" rows={view.providers} none="Nothing this month." />
          <Amounts title="By run" column="Run" first="In all" rows={view.runs} none="" onRun={(id) => void commands.run("open_run", { run_id: id })} />
        </div>
      )}
      {ending && <EndDialog machine={ending} onConfirm={() => void commands.run("end", { key: ending.key, confirmed: true })} onClose={() => setEnding(null)} />}
    </section>
  );
}

function Totals({ totals }: { totals: Amount[] }) {
  return (
    <dl class="ps-tiles">
      {totals.map(({ name, usd, note }) => (
        <div key={name}>
          <dt>{name}</dt>
          <dd class="ps-value">{usd}</dd>
          <dd class="ps-note">{note}</dd>
        </div>
      ))}
    </dl>
  );
}

function Cap({ cap, run }: { cap: SpendView["cap"]; run: Run }) {
  const id = useUnique();
  return (
    <div class="ps-cap">
      <label for={id}>Cap of a month</label>
      <Input id={id} label="Cap of a month, in dollars" kind="number" value={cap.value} placeholder="none" unit="$" onChange={(usd) => run("set_cap", { usd })} />
      {cap.value ? (
        <>
          <Meter value={cap.share} total={1} hue={cap.over || cap.share > 0.8 ? "warn" : "ok"} />
          <span class="ps-muted ps-s">{cap.over ? "used up: machines are ended, and none is rented" : `${cap.left} left; at the cap, machines are ended`}</span>
        </>
      ) : (
        <span class="ps-muted ps-s">no cap: each run has its own, where you gave it one</span>
      )}
    </div>
  );
}

function Amounts({ title, column, first, rows, none, onRun }: { title: string; column: string; first: string; rows: (Amount & Partial<RunAmount>)[]; none: string; onRun?: (id: string) => void }) {
  const each = rows.some((row) => row.epoch);
  return (
    <div class="ps-sec" role="region" aria-label={title}>
      <header>
        <h3>{title}</h3>
        <span class="ps-muted ps-s">{first.toLowerCase()}</span>
      </header>
      {rows.length ? (
        <table class="ps-table">
          <thead>
            <tr>
              <th scope="col">{column}</th>
              {each && (
                <th class="ps-num" scope="col">
                  An epoch
                </th>
              )}
              <th class="ps-num" scope="col">
                Spent
              </th>
            </tr>
          </thead>
          <tbody>
            {rows.map((row) => (
              <tr key={row.id || row.name}>
                <th scope="row">
                  {row.id && onRun ? (
                    <button type="button" class="ps-link" onClick={() => onRun(row.id!)}>
                      <bdi>{row.name}</bdi>
                    </button>
                  ) : (
                    <bdi>{row.name}</bdi>
                  )}
                </th>
                {each && <td class="ps-num">{row.epoch ?? "—"}</td>}
                <td class="ps-num">
                  {row.usd}
                  {row.note && <div class="ps-muted">{row.note}</div>}
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      ) : (
        <p class="ps-muted ps-s">{none}</p>
      )}
    </div>
  );
}

/** What has to be known now. Of what is nobody's, the end is one click and a question away. */
function AlarmNotice({ alarm, machine, onEnd, run }: { alarm: Alarm; machine: Machine | undefined; onEnd: (machine: Machine) => void; run: Run }) {
  return (
    <Notice
      hue={alarm.kind === "not-gone" ? "error" : "warn"}
      urgent={alarm.kind === "not-gone"}
      fact={alarm.text}
      actions={
        machine &&
        !machine.leaving && (
          <>
            {machine.asks && (
              <Button small onPress={() => run("agree", { key: machine.key, shown: machine.rate })}>
                Take it at {machine.rate}
              </Button>
            )}
            <Button small onPress={() => onEnd(machine)}>
              End it…
            </Button>
          </>
        )
      }
    >
      <p class="ps-s">{alarm.per_day ? `Left alone it costs ${alarm.per_day} a day.` : "What it costs is not known."}</p>
    </Notice>
  );
}

export default definePanel(() => null, SpendPanel);
