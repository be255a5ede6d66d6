// The columns of the list of runs.
import * as format from "../../ui/format";
import { Sparkline } from "../../ui/sparkline";
import { State } from "../../ui/state";
import type { Column } from "../../ui/table";
import type { RunLine } from "./view";

export function noteOf(run: RunLine): string {
  const rank = run.rank === null ? "" : ` r${run.rank}`;
  return `${run.model}, ${format.method(run.method)}${rank}`;
}

const silentFor = (run: RunLine, now: number): number | null => (run.live && run.silent_since !== null ? now / 1000 - run.silent_since : null);

/** Why the run is as it is, or how far it is and how long it will take. */
function reason(run: RunLine, now: number): string {
  const silent = silentFor(run, now);
  if (silent !== null) return `${format.duration(silent)} ago${run.share === null ? "" : `, ${Math.floor(run.share * 100)} %`}`;
  if (run.state === "lost" && run.silent_since !== null) return `silent for ${format.duration(now / 1000 - run.silent_since)}`;
  if (run.live && run.share !== null) {
    const share = `${Math.floor(run.share * 100)} %`;
    return run.left_s === null ? share : `${share}, ${format.remaining(run.left_s)} left`;
  }
  return run.reason;
}

export function buildColumns(sparks: Record<string, number[]>, now: number): Column<RunLine>[] {
  const started = (run: RunLine) => format.began(run.started_at, now);
  const evalLoss = (run: RunLine) => format.loss(run.eval_loss);
  const known = (words: string) => (words === format.UNKNOWN ? null : words);
  return [
    {
      title: "State", order: "state", width: "clamp(116px, 26cqw, 164px)",
      cell: (run) => (
        <>
          <State state={run.state} silentFor={silentFor(run, now)} brief />
          <span class="ps-second" title={reason(run, now)}>{reason(run, now)}</span>
        </>
      ),
    },
    { title: "Run", order: "name", names: true, cell: () => null },
    { title: "Where", leaves: "p3", width: "112px", cell: (run) => run.where, brief: (run) => (run.where === "This machine" ? null : run.where) },
    { title: "Loss", leaves: "p3", width: "84px", cell: ({ id }) => (sparks[id]?.length ? <Sparkline values={sparks[id]} of="Training loss" /> : <span class="ps-muted">{format.UNKNOWN}</span>) },
    { title: "Eval loss", order: "eval_loss", numeric: true, leaves: "p2", width: "82px", cell: evalLoss, brief: (run) => known(`eval ${evalLoss(run)}`.replace(`eval ${format.UNKNOWN}`, format.UNKNOWN)) },
    { title: "Time", order: "time_s", numeric: true, leaves: "p2", width: "88px", cell: (run) => format.duration(run.time_s), brief: (run) => known(format.duration(run.time_s)) },
    {
      title: "Started", order: "created_at", numeric: true, leaves: "p1", width: "96px",
      cell: (run) => <time title={format.fullTime(run.started_at)}>{started(run)}</time>, brief: started,
    },
  ];
}
