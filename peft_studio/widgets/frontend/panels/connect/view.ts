// What the kernel says of platforms, network and outbox; see widgets/_connect_view.py.
import { duration } from "../../ui/format";
import type { Hue, IconName } from "../../ui/icon";

export interface Offered {
  variable: string;
  /** Why it is surely no key of this platform; empty where it may be one. */
  wrong: string;
}

export interface KeyField {
  name: string;
  title: string;
  required: boolean;
  secret: boolean;
  help: string;
  offered: Offered[];
}

export interface Trouble {
  kind: string;
  message: string;
  hint: string;
  steps: string[];
}

export interface Platform {
  name: string;
  title: string;
  summary: string;
  roles: string[];
  state: "connected" | "not connected" | "failed" | "refused" | "off";
  /** It needs no key. */
  free: boolean;
  local: boolean;
  account: { name: string; kind: string; can_write: boolean | null; note: string; checked_at: number } | null;
  why_not: string;
  problem: Trouble | null;
  fields: KeyField[];
  docs_url: string;
  install: string;
}

export interface Entry {
  id: string;
  target: string;
  kind: string;
  state: "waiting" | "dead";
  cause: string;
  reason: string;
  unsure: boolean;
  tries: number;
  since: number;
  next_at: number | null;
  size_bytes: number;
}

export interface ConnectView {
  platforms: Platform[];
  tier: { name: string; sentence: string; why: string; durable: boolean; open: boolean };
  network: { offline: boolean; reason: string; by_hand: boolean };
  outbox: { summary: string; entries: Entry[]; more: number; problem: Trouble | null };
  code: string;
}

export type Run = (name: string, args?: Record<string, unknown>) => Promise<unknown>;

const GROUPS: [title: string, roles: string[]][] = [
  ["Compute", ["compute"]],
  ["Models and registries", ["registry"]],
  ["Tracking and evaluation", ["tracker", "evaluator"]],
  ["Serving", ["serving"]],
];

/** Platforms by their first role, in the order of the work; what has none or another one comes last. */
export function grouped(platforms: Platform[]): [title: string, ones: Platform[]][] {
  const of = (one: Platform): string => GROUPS.find(([, roles]) => one.roles.some((role) => roles.includes(role)))?.[0] ?? "Others";
  return [...GROUPS.map(([title]) => title), "Others"]
    .map((title): [string, Platform[]] => [title, platforms.filter((one) => of(one) === title)])
    .filter(([, ones]) => ones.length > 0);
}

/** `at` in seconds since 1970, `now` in milliseconds. */
export const ago = (at: number, now: number): string => `${duration(Math.max(0, now / 1000 - at))} ago`;

export const isReady = (one: Platform): boolean => one.state === "connected" || (one.state === "not connected" && one.free);

const TROUBLES: Record<string, [word: string, icon: IconName, hue: Hue]> = {
  refused: ["Key refused", "error", "error"],
  other: ["Not its key", "error", "error"],
  silent: ["No answer", "stale", "warn"],
  offline: ["Offline", "offline", "warn"],
  wait: ["Asked to wait", "clock", "warn"],
  vault: ["Key locked away", "lock", "warn"],
  unsafe: ["Not safe", "error", "error"],
  broken: ["Broken", "error", "error"],
  failed: ["Failed", "error", "error"],
};

export function stateOf(one: Platform): [word: string, icon: IconName, hue: Hue] {
  if (one.state === "off") return ["Switched off", "stopped", "muted"];
  if (one.state === "refused") return ["Not accepted", "error", "error"];
  if (one.problem) return TROUBLES[one.problem.kind] ?? TROUBLES["failed"]!;
  if (one.state === "failed") return ["Failing", "error", "error"];
  if (one.state === "connected") return ["Connected", "check", "ok"];
  if (one.why_not) return ["Not connected", "warn", "warn"];
  return [one.free ? "Works without a key" : "Not connected", "todo", "muted"];
}
