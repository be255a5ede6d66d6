// A curve in a table cell: its shape alone. `values` are heights from 0 to 1000, each sparkline on a scale of its own.
const [WIDTH, HEIGHT] = [66, 18];

export function Sparkline({ values, of }: { values: number[]; of: string }) {
  const x = (at: number): string => ((at / (values.length - 1)) * WIDTH).toFixed(1);
  const path = values.map((value, at) => `${x(at)} ${(1 + (1 - value / 1000) * (HEIGHT - 2)).toFixed(1)}`).join("L");
  const [first = 0, last = 0] = [values[0], values[values.length - 1]];
  return (
    <svg class="ps-spark" viewBox={`0 0 ${WIDTH} ${HEIGHT}`} role="img" aria-label={`${of} ${last < first ? "falling" : last > first ? "rising" : "level"}`}>
      <path d={`M${path}`} />
    </svg>
  );
}
