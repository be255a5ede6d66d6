// What the kernel says of a run: the twin of widgets/_view.py. Units are in the names; null is "not known".
import type { Problem } from "../../bridge/bridge";

/** What a rented run costs, in words; dollars are never counted here. */
export interface RunMeter {
  spent: string;
  /** Billed, or estimated. */
  note: string;
  /** null where nothing is billed now. */
  rate: string | null;
  cap: string | null;
  /** Of the cap, 0 to 1. */
  share: number | null;
  provider: string;
  gpu: string;
  label: string;
  /** Its machine is gone then at the latest; null once it is. */
  until_at: number | null;
}

/** How a rented run that has ended goes on; words and dollars are the kernel's. */
export interface Again {
  /** Its cap pays for no further machine. */
  short: boolean;
  cap: string | null;
  spent: string;
  machine: string;
  rate: string;
  from_step: number;
  first: AgainProposal;
}

export interface AgainProposal {
  /** As it was typed. */
  max_usd: string;
  at_most: string;
  more: string;
  problem: string | null;
  code: string;
}

export interface Head {
  id: string;
  name: string;
  state: string;
  detail: string;
  /** Why nothing of it can be written here; empty where all can. */
  trouble: string;
  live: boolean;
  stale: boolean;
  heard_s: number | null;
  job: number;
  resumed_from_step: number | null;
  ended_at: number | null;
  stopping: "save" | "stop" | null;
}

export interface Facts {
  model: string;
  method: string;
  rank: number;
  quantization: string | null;
  data: string;
  rows: number;
  device: string | null;
  precision: string | null;
  loop: string | null;
  loop_reason: string | null;
  trainable_parameters: number | null;
  total_parameters: number | null;
}

export interface Phase {
  phase: string;
  place: "done" | "now" | "todo";
  seconds: number | null;
}

export interface Progress {
  step: number;
  total: number | null;
  epoch: number | null;
  epochs: number | null;
  steps_per_epoch: number | null;
  left_s: [value: number, low: number, high: number] | null;
}

export interface Numbers {
  loss: number | null;
  first_loss: number | null;
  eval_loss: number | null;
  tokens_per_s: number | null;
  tokens: number | null;
  memory_of: "gpu" | "process";
  memory_bytes: number | null;
  memory_total_bytes: number | null;
  memory_peak_bytes: number | null;
  cpu_percent: number | null;
}

export type Change = [field: string, value: string];

export interface Warning {
  seq: number;
  code: string;
  step: number;
  message: string;
  hint: string;
  /** A run with what it suggests changed: words for the button, and the Python. */
  way: { title: string; code: string } | null;
}

export interface Sample {
  step: number;
  prompt: string;
  text: string;
}

export interface File {
  name: string;
  step: number;
  size_bytes: number;
  at: number;
  path: string;
}

export interface Failure {
  code: string;
  message: string;
  hint: string;
  step: number | null;
  trace: string;
  suggestions: { title: string; why: string; changes: Change[]; code: string }[];
}

export interface OfferedRun {
  id: string;
  name: string;
  model: string;
  method: string;
  rank: number | null;
}

/** A run laid over this one, in few points. */
export interface OtherRun extends OfferedRun {
  columns: Record<"step" | "time_s" | "mean" | "count", number[]> & { tokens?: number[] };
}

export interface Overlay {
  most: number;
  chosen: string[];
  runs: OtherRun[];
  reading: boolean;
  problem: Problem | null;
}

export interface RunView {
  head: Head;
  facts: Facts;
  phases: Phase[];
  progress: Progress;
  numbers: Numbers;
  /** null for a run on this machine. */
  meter: RunMeter | null;
  /** null while it is live, and where going on costs nothing. */
  again: Again | null;
  evaluations: [step: number, loss: number | null][];
  warnings: Warning[];
  samples: Sample[];
  files: File[];
  failure: Failure | null;
  code: string;
  can_retry: boolean;
  /** null where the panel knows of no other runs. */
  overlay: Overlay | null;
  /** Set, and nothing else, while there is no run to show. */
  empty?: { text: string };
}
