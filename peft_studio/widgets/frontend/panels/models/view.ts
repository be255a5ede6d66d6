// What the kernel says of models; see widgets/_models_view.py. Filters are this page's own.
import type { Problem } from "../../bridge/bridge";
import type { Fit } from "../../ui/fit";
import { large } from "../../ui/format";

export interface Row {
  id: string;
  registry: string;
  title: string;
  parameters: number | null;
  size_bytes: number | null;
  licence: string;
  downloads: number | null;
  downloads_over: string | null;
  likes: number | null;
  gated: boolean | null;
  quantisation: string;
  task: string;
  updated_at: number | null;
  url: string;
  /** On this machine already. */
  here: boolean;
  fit: Fit | null;
  fit_basis: string;
  /** Why it cannot be trained here; empty where it can. */
  reason: string;
  /** The verdict on the GPUs on sale, and its words; empty where nothing is known. */
  sale_fit: Fit;
  sale_words: string;
  /** Where it fits, this machine first. */
  words: string;
}

/** Where a model fits of what is on sale, from the cheapest up: the first rows of `total`. */
export interface Sale {
  fit: Fit;
  words: string;
  /** From which price by which method; or why that is not known. */
  sentence: string;
  total: number;
  notes: string[];
  /** By a method's title the cheapest card that it fits with room. */
  methods: Record<string, string>;
  rows: { gpu: string; memory: string; provider: string; region: string; price: string; way: string; seen: string }[];
}

export interface Part {
  name: string;
  title: string;
  state: "asking" | "late" | "answered" | "failed" | "offline";
  count: number;
  as_of: string;
  why_not: string;
  more: boolean;
}

export interface Needs {
  name: string;
  fit: Fit;
  value: number;
  low: number;
  high: number;
  basis: string;
  /** The smallest card of the device table that it fits on; null where one is not enough, or nobody knows. */
  gpu: string | null;
  /** Others with as much memory. */
  gpu_others: string;
}

export interface Details extends Row {
  author: string;
  revision: string;
  as_of: string;
  needs: Needs[];
  shapes: [string, string][];
  base_models: string[];
  files: [string, number | null][];
  files_total: number;
  card: string;
  sale: Sale;
}

export type DetailsView = ({ state: "ready" } & Details) | { state: "busy" | "failed"; registry: string; id: string; problem: Problem | null };

export interface Asked {
  text: string;
  registries: string[];
  task: string;
  sort: string;
}

export interface ModelsView {
  asked: Asked;
  registries: { name: string; title: string }[];
  parts: Part[];
  rows: Row[];
  searched: boolean;
  machine: { name: string; free_bytes: number | null };
  offline: string;
  chosen: string | null;
  details: DetailsView | null;
  code: string;
}

export interface Narrowed {
  size: string;
  licence: string;
  gated: string;
  fits: string;
}

export const EVERYTHING: Narrowed = { size: "", licence: "", gated: "", fits: "" };

/** Orders of what the same question brought: changing between them asks nobody. */
export const ORDERED_HERE = ["downloads", "size", "parameters"];

export const placeOf = (row: { registry: string }, view: ModelsView): string => (row.registry === "here" ? "This machine" : (view.registries.find((one) => one.name === row.registry)?.title ?? row.registry));

/** As models are called: `1.71 B`, `135 M`. */
export const parameters = (count: number | null): string => (count !== null && count >= 1e9 ? `${(count / 1e9).toPrecision(3)}\u202fB` : large(count));

const FITS: Record<string, (row: Row) => boolean> = {
  ok: (row) => row.fit === "ok",
  tight: (row) => row.fit === "ok" || row.fit === "tight",
  here: (row) => row.here,
  sale: (row) => row.sale_fit === "ok",
  either: (row) => row.fit === "ok" || row.sale_fit === "ok",
};

/** What is not known is not shown where something is asked of it. */
export function narrow(rows: Row[], by: Narrowed): Row[] {
  return rows.filter(
    (row) =>
      (!by.size || (row.parameters !== null && row.parameters <= Number(by.size) * 1e9)) &&
      (!by.licence || row.licence === by.licence) &&
      (!by.gated || (by.gated === "open" ? row.gated === false : row.gated === true)) &&
      (!by.fits || FITS[by.fits]!(row)),
  );
}
