// What the kernel says (widgets/_chat_view.py), as types, and the words made of it.
import type { Problem } from "../../bridge/bridge";
import * as format from "../../ui/format";

export interface Slot {
  number: number;
  title: string;
  detail: string;
  from: string;
  on: boolean;
  doubt: string;
}

export interface Setup {
  model: string | null;
  title: string | null;
  models: { value: string; title: string }[];
  slots: Slot[];
  offered: { value: string; title: string }[];
}

export interface Process {
  state: "closed" | "opening" | "open";
  opening_s: number | null;
  load_s: number | null;
  loads: number;
  memory_bytes: number | null;
  resident: number;
  fast_switch: boolean | null;
  precision: string | null;
  device: string | null;
  note: string;
}

export interface Answer {
  number: number;
  slot: number;
  title: string;
  base: boolean;
  state: "waiting" | "attaching" | "answering" | "done" | "stopped" | "failed";
  ended: string | null;
  tokens: number | null;
  tokens_per_s: number | null;
  first_token_s: number | null;
  memory_bytes: number | null;
  switch_s: number | null;
  problem: Problem | null;
}

export interface Turn {
  number: number;
  prompt: string;
  model: string;
  greedy: boolean;
  answers: Answer[];
  problem: Problem | null;
}

export interface Settings {
  max_new_tokens: number;
  temperature: number;
  top_p: number;
  seed: number | null;
  remember: boolean;
}

export interface ChatView {
  setup: Setup;
  process: Process;
  turns: Turn[];
  busy: null | "answering" | "stopping";
  settings: Settings;
  draft: string;
  code: string;
}

export const METHODS: Record<string, string> = { lora: "LoRA", qlora: "QLoRA", dora: "DoRA", pissa: "PiSSA", rslora: "rsLoRA" };

export const color = (slot: number): string => `var(--ps-s${((slot - 1) % 8) + 1})`;

/** Milliseconds under a second, where a change of adapter lives. */
export const brief = (seconds: number | null): string => {
  if (seconds === null) return format.UNKNOWN;
  if (seconds < 0.001) return "<1\u202fms";
  return seconds < 1 ? `${Math.round(seconds * 1000)}\u202fms` : `${seconds.toFixed(2)}\u202fs`;
};

/** How answers are made, in a few words. */
export function manner({ max_new_tokens, temperature, top_p, seed }: Settings): string {
  const draw = temperature === 0 ? "greedy" : `temperature ${temperature}${top_p < 1 ? `, top p ${top_p}` : ""}${seed === null ? "" : `, seed ${seed}`}`;
  return `${draw}, up to ${format.count(max_new_tokens)} tokens`;
}

/** Whether adapters say anything else than the base, once all have answered in full; null while that cannot be said. */
export function compared(turn: Turn, texts: Map<number, string>): { ok: boolean; words: string } | null {
  const base = turn.answers.find((answer) => answer.base);
  const adapters = turn.answers.filter((answer) => !answer.base);
  if (!base || adapters.length === 0 || turn.answers.some((answer) => answer.state !== "done")) return null;
  const same = adapters.filter((answer) => texts.get(answer.number) === texts.get(base.number)).map((answer) => answer.title);
  if (same.length) return { ok: false, words: `${same.join(", ")}: the same answer as the base model` };
  return { ok: true, words: adapters.length === 1 ? "The adapter changes the answer to this prompt." : `${adapters.length === 2 ? "Both" : `All ${adapters.length}`} adapters change the answer to this prompt.` };
}
