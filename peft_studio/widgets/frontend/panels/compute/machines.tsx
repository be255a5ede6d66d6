// The machines, lowest total first: heads that sort, columns that leave as the width shrinks, one button a row.
import { Button } from "../../ui/button";
import { FitBadge } from "../../ui/fit";
import { duration } from "../../ui/format";
import { Icon } from "../../ui/icon";
import type { Amount, Asked, Machine, Run } from "./view";

const OLD_S = 300; // younger prices are those of now

interface MachinesProps {
  rows: Machine[];
  asked: Asked;
  now: number;
  offline: string;
  /** Why nothing can be chosen now. */
  busy: string | undefined;
  run: Run;
  onChoose: (key: string) => unknown;
}

export function Machines(props: MachinesProps) {
  const { rows, asked, run } = props;
  const head = (title: string, by: string, leaves = "") => (
    <th class={`ps-num ${leaves}`} aria-sort={asked.by === by ? (asked.descending ? "descending" : "ascending") : undefined}>
      <button type="button" onClick={() => run("sort", { by, descending: asked.by === by && !asked.descending })}>
        {title}
        {asked.by === by && (
          <span class={asked.descending ? "" : "ps-turned"}>
            <Icon name="down" />
          </span>
        )}
      </button>
    </th>
  );
  return (
    <table class="ps-table ps-machines">
      <caption class="ps-hidden">Machines</caption>
      <thead>
        <tr>
          <th>Machine</th>
          <th class="ps-p1">Fit</th>
          {head("Total", "total")}
          {head("Time in all", "time", "ps-p2")}
          {head("Per hour", "rate", "ps-p3")}
          {head("Starts in", "start", "ps-p3")}
          <th class="ps-p2">Kind</th>
          <th>
            <span class="ps-hidden">Choose</span>
          </th>
        </tr>
      </thead>
      <tbody>
        {rows.map((row) => [<Row key={row.key} row={row} {...props} />, !row.to_be_had && <InPlace key={`${row.key}-in-place`} row={row} {...props} />])}
      </tbody>
    </table>
  );
}

function Row({ row, now, offline, busy, run, onChoose }: MachinesProps & { row: Machine }) {
  const old = row.seen_at !== null && now / 1000 - row.seen_at > OLD_S ? `price seen ${duration(now / 1000 - row.seen_at)} ago` : "";
  const kind = row.spot ? "spot, may be taken away" : row.queues ? "your cluster" : "on demand";
  const name = row.local ? "this machine" : `${row.gpu} at ${row.provider}`;
  const why = row.fit === "wont-fit" ? "It would not fit there" : obstacle({ busy, offline });
  return (
    <tr class={row.to_be_had ? "" : "ps-sold"} data-local={row.local ? "" : undefined}>
      <th scope="row">
        <bdi class="ps-strong">{row.local ? row.provider : row.gpu}</bdi>
        <span class="ps-below">
          <bdi>{row.local ? row.gpu : `${row.provider}, ${row.detail}`}</bdi>
        </span>
        {old && <span class="ps-below">{old}</span>}
        <span class="ps-below ps-back-1">
          {{ ok: "OK", tight: "Tight", "wont-fit": "Won't fit", unknown: "Fit not known" }[row.fit]}
        </span>
        <span class="ps-below ps-back-2">{row.local ? row.time.value : row.time.value === "—" ? kind : `${row.time.value}, ${kind}`}</span>
        {!row.local && (
          <span class="ps-below ps-back-3">
            {row.per_hour}/h, starts {/^\d/.test(row.starts) ? "in " : ""}
            {row.starts}
            {row.starts_by && ` (${row.starts_by})`}
          </span>
        )}
      </th>
      <td class="ps-p1">
        <span data-tip={row.needs} tabIndex={0} role="note" aria-label={`Fit: ${row.needs}`}>
          <FitBadge fit={row.fit} />
        </span>
      </td>
      <td class="ps-num">
        <Two amount={row.total} strong />
      </td>
      <td class="ps-num ps-p2">
        <Two amount={row.time} />
      </td>
      <td class="ps-num ps-p3">
        {row.per_hour}
        <span class="ps-below ps-cut" dir="auto" data-tip={row.includes}>
          {row.includes.split(/[;,] /, 1)[0]}
        </span>
      </td>
      <td class="ps-num ps-p3">
        {row.starts}
        <span class="ps-below" data-tip={row.starts_basis}>
          {row.starts_by}
        </span>
      </td>
      <td class="ps-p2">
        {row.local ? "Yours" : row.spot ? "Spot" : row.queues ? "Your cluster" : "On demand"}
        {!row.local && <span class="ps-below">{row.queues ? (/^\d/.test(row.starts) ? "" : "waits in line") : row.spot ? "may be taken away" : row.stock === "—" ? "" : row.stock === "sold out" ? "sold out" : `${row.stock} stock`}</span>}
      </td>
      <td class="ps-num">
        {row.local ? (
          <Button small onPress={() => run("go", { panel: "train" })}>
            Train here
          </Button>
        ) : (
          <Button small label={`Choose ${name}`} reason={row.to_be_had ? why : "Sold out"} onPress={() => onChoose(row.key)}>
            {row.to_be_had ? "Choose…" : "Sold out"}
          </Button>
        )}
      </td>
    </tr>
  );
}

function obstacle({ busy, offline }: Pick<MachinesProps, "busy" | "offline">): string | undefined {
  return busy ?? (offline ? `Renting needs the network: ${offline}` : undefined);
}

/** Below what is sold out: what to take, and what that costs more or less for this run. */
function InPlace({ row, busy, offline, onChoose }: MachinesProps & { row: Machine }) {
  return (
    <tr class="ps-in-place">
      <td colSpan={8}>
        <div class="ps-row">
        {row.in_place.length ? "Nearest: " : "Nothing in its place is to be had now."}
        {row.in_place.map((one) => (
          <Button key={one.key} small kind="quiet" reason={obstacle({ busy, offline })} label={`Take ${one.words} in its place, ${one.more}`} onPress={() => onChoose(one.key)}>
            <bdi>
              {one.words} ({one.more})
            </bdi>
          </Button>
        ))}
        </div>
      </td>
    </tr>
  );
}

function Two({ amount, strong }: { amount: Amount; strong?: boolean }) {
  return (
    <>
      {strong ? <b>{amount.value}</b> : amount.value}
      {amount.range && <span class="ps-below">{amount.range}</span>}
    </>
  );
}
