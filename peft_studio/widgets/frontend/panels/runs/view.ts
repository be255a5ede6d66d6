// What the kernel sends (widgets/_runs_source.py).
export interface RunLine {
  id: string;
  name: string;
  state: string;
  reason: string;
  live: boolean;
  silent_since: number | null;
  share: number | null;
  left_s: number | null;
  model: string;
  method: string;
  rank: number | null;
  where: string;
  eval_loss: number | null;
  time_s: number | null;
  started_at: number;
}

export interface Asked {
  text: string;
  state: string;
  provider: string;
  since: string;
  by: string;
  descending: boolean;
}

export interface ComparedRun {
  id: string;
  name: string;
  model: string;
  method: string;
  rank: number;
  /** Places along each axis, and the smoothed loss there. Tokens are missing where they were not logged. */
  points: Record<"step" | "time_s" | "loss", number[]> & { tokens?: number[] };
}

export interface Comparison {
  runs: ComparedRun[];
  measures: { name: string; kind: "loss" | "duration" | "rate"; values: (number | null)[]; best: number[] }[];
  settings: { name: string; values: string[] }[];
  equal: number;
}

export interface RunsView {
  page: { start: number; rows: RunLine[]; total: number; every: number };
  sparks: Record<string, number[]>;
  asked: Asked;
  providers: string[];
  states: string[];
  can_train: boolean;
  comparison: Comparison | null;
  chosen: string | null;
  code: string;
}

export const nameOf = (run: { id: string; name: string }): string => run.name || run.id;
