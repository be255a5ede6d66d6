// The status language: one icon and one word for each state of a run, the same in every panel (look.md section 3).
import { duration } from "./format";
import { type Hue, Icon, type IconName } from "./icon";

const STATES: Record<string, [word: string, icon: IconName, hue: Hue]> = {
  queued: ["Queued", "queued", "muted"],
  provisioning: ["Provisioning", "open", "info"],
  preparing: ["Preparing", "open", "info"],
  training: ["Training", "train", "accent"],
  evaluating: ["Evaluating", "open", "accent"],
  saving: ["Saving", "open", "accent"],
  completed: ["Completed", "check", "ok"],
  stopped: ["Stopped", "stopped", "muted"],
  failed: ["Failed", "error", "error"],
  lost: ["Lost", "lost", "warn"],
};

interface StateProps {
  state: string;
  /** Seconds since a live run was last heard of, when that is too long ago to name its state. */
  silentFor?: number | null;
  /** Where a second line says how long ago. */
  brief?: boolean;
}

/** The word alone, for sentences and for the live region. */
export function stateWord({ state, silentFor, brief }: StateProps): string {
  if (silentFor == null) return STATES[state]?.[0] ?? state;
  return brief ? "Last heard" : `Last heard ${duration(silentFor)} ago`;
}

export function State(props: StateProps) {
  const [, icon, hue] = props.silentFor == null ? (STATES[props.state] ?? ["", "info", "muted"] as const) : (["", "stale", "warn"] as const);
  return (
    <span class="ps-state" data-state={props.silentFor == null ? props.state : "stale"}>
      <Icon name={icon} hue={hue} turning={icon === "open"} />
      {stateWord(props)}
    </span>
  );
}
