// What widgets/compute.py sends. All money and time comes as words: nothing is counted here.
import type { Problem } from "../../bridge/bridge";
import type { Fit } from "../../ui/fit";

export interface Amount {
  value: string;
  range: string;
}

export interface Machine {
  key: string;
  local: boolean;
  provider: string;
  gpu: string;
  detail: string;
  fit: Fit;
  fits: boolean;
  needs: string;
  total: Amount;
  time: Amount;
  basis: string;
  per_hour: string;
  includes: string;
  starts: string;
  starts_basis: string;
  starts_by: string;
  spot: boolean;
  /** It waits in line for a place of a cluster. */
  queues: boolean;
  stock: string;
  to_be_had: boolean;
  seen_at: number | null;
  in_place: { key: string; words: string; more: string }[];
}

export interface Market {
  rows: Machine[];
  total: number;
  listed: number;
  every: number;
  connected: string[];
  providers: { name: string; title: string }[];
  regions: string[];
  notices: { title: string; why: string; old: boolean }[];
  notes: string[];
  seen_at: number | null;
}

export interface Asked {
  gpu: string;
  spot: string;
  provider: string;
  region: string;
  fits: boolean;
  by: string;
  descending: boolean;
}

export interface ComputeView {
  missing: string[];
  draft: string;
  recipe: [method: string, rank: number];
  state: "busy" | "ready" | "failed" | "none";
  current: boolean;
  problem_found: Problem | null;
  market: Market | null;
  asked: Asked;
  offline: string;
  renting: string;
  /** The run that was started last. */
  started: string;
  code: string;
}

export interface Proposal {
  key: string;
  gpu: string;
  provider: string;
  place: string;
  per_hour: string;
  billed: string;
  includes: string;
  total: Amount;
  time: Amount;
  tight: boolean;
  changes: string[];
  leaves: string;
  spot: boolean;
  /** Nothing is charged, so there is no cap to name. */
  free: boolean;
  queues: boolean;
  away: string;
  /** Why its machine cannot end itself and what that means; empty where it can. */
  never_ends: string;
  max_usd: string;
  max_hours: string;
  at_most: string;
  latest: string;
  problem: { field: string; message: string } | null;
  /** What is tried where it does not start, in order; `on`: agreed to. */
  next: Next[];
  code: string;
}

export interface Next {
  key: string;
  words: string;
  more: string;
  per_hour: string;
  may_meet_cap: boolean;
  on: boolean;
}

export type Run = (name: string, args?: Record<string, unknown>) => Promise<unknown>;
