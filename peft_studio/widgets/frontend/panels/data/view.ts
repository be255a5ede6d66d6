// The sections that widgets/_data_view.py sends. Row numbers count from 0, as in code.
import type { Problem } from "../../bridge/bridge";
import type { Bin } from "../../ui/histogram";

export interface Column {
  name: string;
  example: string;
  filled: number;
  seen: number;
}

export interface Facts {
  rows: number;
  train_rows: number;
  held_out_rows: number;
  left_out: number;
  bytes: number | null;
  format: string;
  confidence: number;
  why: string;
  given: boolean;
  columns: Record<string, string>;
  split: number;
  seed: number;
  own_split: boolean;
  path: string;
}

export interface Finding {
  code: string;
  severity: "blocking" | "warning" | "info";
  message: string;
  fix: string;
  rows: number[];
  count: number;
  action: string | null;
}

export interface Report {
  seconds: number;
  passed: string[];
  model: string | null;
  sampled: boolean;
  max_length: number | null;
  lengths: { counted: number; p50: number; p95: number; max: number; total: number; bins: Bin[] } | null;
  cut_rows: number | null;
  shares: { trained: number; masked: number; cut: number } | null;
}

/** Text, marks (t trained, x special, c cut off), token ids. */
export type Piece = [text: string, marks: string, tokens: number[]];

export interface Row {
  number: number;
  place?: string;
  held_out: boolean;
  left_out: boolean;
  with_tokens: boolean;
  problem: string;
  pieces: Piece[];
  skipped: number;
  skipped_at: number;
  tokens: number;
  learnt: number;
  cut: number;
  source?: string;
}

export interface DataView {
  opening: string | null;
  failed: (Problem & { source: string; columns: Column[] }) | null;
  limits: { upload_bytes: number; piece_bytes: number };
  formats: Record<string, { needs: string[]; may: string[] }>;
  code: string;
  data: { title: string; verdict: { hue: "ok" | "warn" | "error" | "info"; words: string }; used: boolean; next: boolean } | null;
  facts: Facts;
  model: { name: string; max_length: number | null; checking: string | null; problem: Problem | null; unreadable: Problem | null };
  findings: Finding[];
  report: Report | null;
  at: number;
  row: Row | null;
  columns: Column[];
}
