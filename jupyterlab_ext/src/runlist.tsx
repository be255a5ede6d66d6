// Runs as the sidebar lists them: what each is, how it stands, and when it was last heard of. A click shows it.
import { useNow } from "@kit/bridge/hooks";
import * as format from "@kit/ui/format";
import { Meter } from "@kit/ui/meter";
import { State } from "@kit/ui/state";
import type { SeenRun } from "./link";
import { shareOf } from "./runs";

interface RunListProps {
  title: string;
  runs: SeenRun[];
  onShow: (run: SeenRun) => void;
}

export function RunList({ title, runs, onShow }: RunListProps) {
  const now = useNow(runs.some((run) => run.active)) / 1000;
  if (!runs.length) return null;
  return (
    <details class="ps-acc" open>
      <summary>
        {title}
        <span>{format.count(runs.length)}</span>
      </summary>
      <ul>
        {runs.map((run) => (
          <li key={run.id}>
            <button type="button" class="ps-acc-run" data-tip={`Show ${run.name}\n${run.model}\n${run.id}`} onClick={() => onShow(run)}>
              <span class="ps-row">
                <b class="ps-cut">
                  <bdi>{run.name}</bdi>
                </b>
                {run.active && <span class="ps-end">{shareOf(run)}</span>}
              </span>
              {run.active && <Meter value={run.step ?? 0} total={run.total_steps ?? 0} />}
              <span class="ps-row ps-s ps-muted">
                <State state={run.state} silentFor={run.stale ? age(run, now) : null} />
                <time class="ps-end" title={format.fullTime(run.heard_at)}>
                  {!run.active ? format.began(run.heard_at) : run.stale ? "" : `heard ${format.duration(age(run, now))} ago`}
                </time>
              </span>
            </button>
          </li>
        ))}
      </ul>
    </details>
  );
}


const age = (run: SeenRun, now: number): number => Math.max(0, now - run.heard_at);
