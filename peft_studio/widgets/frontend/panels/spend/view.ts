// What the kernel says of dollars and machines; see widgets/_spend_view.py. Dollars are words: nothing is counted here.

export interface Amount {
  name: string;
  usd: string;
  /** Billed, estimated, or how much of it is billed. */
  note: string;
}

export interface Day {
  date: string;
  usd: string;
  note: string;
  /** Number of the provider among `series`, dollars, and its height as a share of the dearest day. */
  parts: [series: number, usd: string, share: number][];
}

export interface RunAmount extends Amount {
  /** Empty where the run is not here any more. */
  id: string;
  /** Dollars an epoch; null where its epochs are not known. */
  epoch: string | null;
}

export interface Machine {
  key: string;
  kind: "machine" | "stray";
  run: string;
  run_name: string;
  provider: string;
  id: string;
  label: string;
  gpu: string;
  state: string;
  leaving: boolean;
  since_at: number | null;
  until_at: number | null;
  rate: string;
  per_day: string;
  spent: string;
  note: string;
  trouble: string;
  /** Dearer than was agreed to: it waits for a yes. */
  asks: boolean;
}

export interface Alarm {
  kind: "not-gone" | "price" | "idle" | "cap" | "trouble" | "silent" | "stray";
  text: string;
  per_day: string;
  label: string;
}

export interface SpendView {
  totals: Amount[];
  days: Day[];
  providers: Amount[];
  series: string[];
  runs: RunAmount[];
  runs_total: number;
  now: { machines: number; rate: string; per_day: string };
  cap: { value: string; left: string; share: number; over: boolean };
  machines: Machine[];
  alarms: Alarm[];
  /** Whether a provider of machines is connected. */
  connected: boolean;
  asking: boolean;
  said: string[];
  code: string;
}

/** Provider, card and id: what a person calls a machine. */
export const machineName = (one: Machine): string => [one.provider, one.gpu, one.id || one.label].filter(Boolean).join(" ");
