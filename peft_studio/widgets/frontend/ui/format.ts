// Numbers as words, one way for every panel (look.md section 3): unit beside the number, "—" when unknown, never 0.
const NARROW = "\u202f"; // narrow no-break space

export const UNKNOWN = "—";

type Maybe = number | null | undefined;

const known = (value: Maybe): value is number => typeof value === "number" && !Number.isNaN(value);

/** `11,200`; with digits a fixed number of decimals. */
export function count(value: Maybe, digits = 0): string {
  return known(value) ? value.toLocaleString("en-US", { minimumFractionDigits: digits, maximumFractionDigits: digits }) : UNKNOWN;
}

/** Three significant digits at least: `11,200`, `84.3`, `0.52`. */
export function rate(value: Maybe): string {
  if (!known(value)) return UNKNOWN;
  if (value >= 10_000) return count(Math.round(value / 100) * 100);
  return value >= 100 ? count(value) : count(value, value >= 10 ? 1 : 2);
}

/** `8,412`, `9.74 M`, `1.2 G`: for counts of tokens and parameters. */
export function large(value: Maybe): string {
  if (!known(value)) return UNKNOWN;
  for (const [size, unit] of [[1e9, "G"], [1e6, "M"]] as const)
    if (value >= size) return `${(value / size).toPrecision(3)}${NARROW}${unit}`;
  return count(value);
}

/** Loss: three decimals, more for very small ones. */
export function loss(value: Maybe): string {
  if (!known(value)) return UNKNOWN;
  return value !== 0 && Math.abs(value) < 0.001 ? value.toExponential(1) : value.toFixed(3);
}

/** A tick's label, with as many decimals as tell it from its neighbour. */
export function tick(value: number, increment: number): string {
  return value === 0 ? "0" : count(value, Math.min(6, Math.max(0, Math.ceil(-Math.log10(increment) - 1e-9))));
}

/** Learning rate: `2e-4`. */
export function exponent(value: Maybe): string {
  if (!known(value)) return UNKNOWN;
  return value === 0 ? "0" : value.toExponential(1).replace(".0e", "e");
}

/** GiB with one decimal, for memory. */
export function gib(bytes: Maybe): string {
  return known(bytes) ? (bytes / 2 ** 30).toFixed(1) : UNKNOWN;
}

/** MB or GB, for files. */
export function fileSize(bytes: Maybe): string {
  if (!known(bytes)) return UNKNOWN;
  if (bytes >= 1e9) return `${(bytes / 1e9).toFixed(2)}${NARROW}GB`;
  return bytes >= 1e5 ? `${count(bytes / 1e6, bytes < 1e7 ? 1 : 0)}${NARROW}MB` : `${count(bytes / 1e3, 1)}${NARROW}kB`;
}

const UNITS = [
  [86_400, "d", 3600, "h"],
  [3600, "h", 60, "m"],
  [60, "m", 1, "s"],
] as const;

/** The two largest units: `48 s`, `14 m 32 s`, `2 h 41 m`, `3 d 4 h`. Under ten seconds with one decimal where `fine`. */
export function duration(seconds: Maybe, fine = false): string {
  if (!known(seconds)) return UNKNOWN;
  if (fine && seconds < 9.95) return `${seconds.toFixed(1)}${NARROW}s`;
  const whole = Math.round(seconds);
  for (const [size, unit, smallerSize, smaller] of UNITS)
    if (whole >= size) {
      const rest = Math.floor((whole % size) / smallerSize);
      return `${Math.floor(whole / size)}${NARROW}${unit}` + (rest ? ` ${rest}${NARROW}${smaller}` : "");
    }
  return `${whole}${NARROW}s`;
}

/** Remaining time, no finer than it is known: to 10 s over a minute, to a minute over an hour. */
export function remaining(seconds: number): string {
  const grain = seconds >= 3600 ? 60 : seconds >= 60 ? 10 : 1;
  return duration(Math.round(seconds / grain) * grain);
}

/** `(12–14 m)` for a range whose ends read differently, else nothing. */
export function remainingRange(low: number, high: number): string {
  const [from, to] = [remaining(low), remaining(high)];
  return from === to ? "" : `(${from}–${to})`;
}

/** A clock time: of today without a date, else with weekday and date. `at` in seconds since 1970. */
export function clock(at: number, now = Date.now()): string {
  const then = new Date(at * 1000);
  const time = then.toLocaleTimeString("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit" });
  if (then.toDateString() === new Date(now).toDateString()) return time;
  return `${then.toLocaleDateString("en-GB", { weekday: "short", day: "numeric", month: "short" })} ${time.slice(0, 5)}`;
}

/** The full time with its zone, for tooltips. */
export function fullTime(at: number): string {
  return new Date(at * 1000).toLocaleString("en-GB", { dateStyle: "full", timeStyle: "long" });
}

/** When something began, short: the time of today, else the day, with its year when that is another. */
export function began(at: number, now = Date.now()): string {
  const [then, today] = [new Date(at * 1000), new Date(now)];
  if (then.toDateString() === today.toDateString()) return then.toLocaleTimeString("en-GB", { hour: "2-digit", minute: "2-digit" });
  const sameYear = then.getFullYear() === today.getFullYear();
  return then.toLocaleDateString("en-GB", sameYear ? { weekday: "short", day: "numeric", month: "short" } : { day: "numeric", month: "short", year: "numeric" }).replace(",", "");
}

/** The name a method goes by. */
export function method(name: string): string {
  return { lora: "LoRA", qlora: "QLoRA", dora: "DoRA", pissa: "PiSSA", rslora: "rsLoRA" }[name] ?? name;
}
