// What widgets/train.py sends: its sections, by name.
import type { Problem as Refusal } from "../../bridge/bridge";
import type { Fit } from "../../ui/fit";

export interface FieldView {
  title: string;
  kind: "choice" | "switch" | "number" | "text" | "lines";
  unit: string;
  empty: string;
  choices: [value: string, title: string][];
  text: string;
  changed: boolean;
  default: string;
  why: string;
  source: string;
  meanings: [choice: string, words: string][];
  hint: string;
  effect: { lines: string[]; fix: { title: string; changes: Record<string, unknown> } | null } | null;
  error: Refusal | null;
}

export interface GroupView {
  title: string;
  folded: boolean;
  fields: string[];
}

export interface ProblemView {
  code: string;
  severity: "blocking" | "warning" | "info";
  message: string;
  fix: string;
  field: string;
  button: string;
  changes: Record<string, unknown>;
}

/** An Estimate: bytes or seconds. */
export interface EstimateView {
  value: number;
  low: number;
  high: number;
  basis: string;
  parts: [name: string, amount: number][];
}

export interface QuoteView {
  state: "none" | "busy" | "ready";
  fit: Fit;
  memory: EstimateView | null;
  duration: EstimateView | null;
  /** In words: what is to be paid, with its range. */
  cost: string;
  device_bytes: number | null;
  /** How fast this machine trains is being found out. */
  measuring: boolean;
  /** What is not known, and why. */
  notes: string[];
  /** Why there is no estimate. */
  problem: string;
}

export interface SweepView {
  id: string;
  ended: boolean;
  rows: { run: string; rate: string; state: string; step: number; total: number; loss: number | null; noise: number | null }[];
  /** What the runs say, once they have ended, and the rate to take from it. */
  verdict: string;
  button: string;
  changes: Record<string, unknown>;
}

export interface TrainView {
  model: { name: string; known: string[] };
  data: { name: string; origin: string; rows: number; held_out: number; left_out: number; format: string } | null;
  machine: string;
  missing: ("model" | "data")[];
  groups: GroupView[];
  fields: Record<string, FieldView>;
  changed: string[];
  deriving: { busy: boolean; doing: string; problem: Refusal | null };
  preflight: { state: "none" | "checking" | "ready" | "not_ready"; busy: boolean; problems: ProblemView[] };
  quote: QuoteView;
  sweep: { plan: { rates: string[]; steps: number } | null; shown: SweepView | null };
  notes: string[];
  code: string;
}

/** How many problems stop the run. */
export function blocking({ preflight }: TrainView): number {
  return preflight.problems.filter((one) => one.severity === "blocking").length;
}

/** Why the run cannot be started now; undefined when it can. */
export function obstacle(view: TrainView): string | undefined {
  if (view.missing.length) return `Choose ${view.missing.map((one) => (one === "model" ? "a model" : one)).join(" and ")} first`;
  if (view.deriving.busy) return "The fields are being derived";
  if (view.deriving.problem || !Object.keys(view.fields).length) return "Not possible with this model and data yet";
  const wrong = Object.values(view.fields).find((one) => one.error);
  if (wrong) return `${wrong.title} has a value that cannot be used`;
  const stops = blocking(view);
  return view.preflight.state === "not_ready" ? `Not ready, ${stops} ${stops === 1 ? "problem" : "problems"}` : undefined;
}
