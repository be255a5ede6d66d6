// What the kernel says of a publication; see widgets/_publish_view.py.
import type { Problem } from "../../bridge/bridge";
import { count, fileSize } from "../../ui/format";

export interface Target {
  name: string;
  title: string;
  state: "connected" | "not connected" | "failed" | "refused" | "by hand" | "impossible";
  why: string;
  local: boolean;
  account: { name: string; can_write: boolean | null; note: string; checked_at: number } | null;
}

export interface Finding {
  code: string;
  severity: "blocking" | "warning" | "info";
  message: string;
  fix: string;
}

export interface Plan {
  id: string;
  title: string;
  repo: string;
  private: boolean;
  local: boolean;
  ready: boolean;
  size_bytes: number;
  /** Path, bytes, sha256. */
  files: [string, number, string][];
  files_total: number;
  left_out: [string, string][];
  problems: Finding[];
  steps: string[];
  card: string;
  form: string;
  /** Prompts whose answers are compared first. */
  asked: number;
}

export interface Job {
  stage: "looking" | "asking" | "sending" | "published" | "queued" | "dropped" | "bundled" | "changed" | "cancelled" | "failed";
  id: string;
  title: string;
  repo: string;
  private: boolean;
  local: boolean;
  files: number;
  size_bytes: number;
  sent_bytes: number;
  began_at: number;
  cancelling: boolean;
  already: boolean;
  /** Why it waits. */
  why: string;
  url: string;
  revision: string;
  lines: string[];
  folder: string;
  problem: { message: string; hint: string; steps: string[] } | null;
  entry: { state: string; reason: string; tries: number; since: number } | null;
}

export interface Earlier {
  id: string;
  what: string;
  at: number | null;
  title: string;
  repo: string;
  private: boolean;
  files: number;
  size_bytes: number;
  url: string;
  why: string;
  by: string;
}

export interface PublishView {
  runs: { id: string; title: string; method: string; model: string }[];
  /** The run shown; null where the one that is wanted has no adapter. */
  run: string | null;
  wanted: string | null;
  targets: Target[];
  to: string | null;
  form: { repo: string; private: boolean; base: string; from_model: string; compare: boolean; asks_base: boolean };
  permission: Finding[];
  plan: { state: "none" | "busy" | "ready" | "failed"; shown: Plan | null; problem: Problem | null };
  /** Why it cannot be published now; empty where it can. */
  reason: string;
  job: Job | null;
  earlier: Earlier[];
  offline: string;
  code: string;
}

export type Run = (name: string, args?: Record<string, unknown>) => Promise<unknown>;

export const files = (many: number): string => `${count(many)} ${many === 1 ? "file" : "files"}`;

/** Who will see it, in a word or two. */
export const seenBy = (one: { private: boolean; local: boolean }): string => (one.local ? "on this machine" : one.private ? "private" : "public");

export const summary = (plan: Plan): string => `${files(plan.files_total)}, ${fileSize(plan.size_bytes)}, ${seenBy({ private: plan.private, local: plan.local || plan.steps.length > 0 })}`;
