// What an amount is made of, out of what there is: a bar in the colours of the series, the range as a bracket under it, the parts with numbers below.
import { gib } from "./format";
import "./stack.css";

const COLOURS = 8;

interface StackProps {
  /** Each with its bytes, in the order in which they stand. */
  parts: [name: string, bytes: number][];
  low: number;
  high: number;
  /** What the device has; null where nobody knows. */
  total: number | null;
}

/** Memory in GiB. */
export function Stack({ parts, low, high, total }: StackProps) {
  const needed = parts.reduce((sum, [, bytes]) => sum + bytes, 0);
  const end = Math.max(total ?? 0, high, needed) || 1;
  const percent = (bytes: number): string => `${((100 * bytes) / end).toFixed(2)}%`;
  const words = parts.map(([name, bytes]) => `${name} ${gib(bytes)}`).join(", ");
  return (
    <>
      <div class="ps-stack" role="img" aria-label={`${words}${total === null ? "" : `, of ${gib(total)}`} GiB`}>
        {parts.map(([name, bytes], at) => (
          <i key={name} style={{ width: percent(bytes), background: colour(at) }} title={`${name} ${gib(bytes)} GiB`} />
        ))}
        {total !== null && total < end && <u style={{ left: percent(total) }} title={`Ends at ${gib(total)} GiB`} />}
        <b style={{ left: percent(low), width: percent(high - low) }} />
      </div>
      <dl class="ps-parts">
        {parts.map(([name, bytes], at) => (
          <Part key={name} name={name} bytes={bytes} colour={colour(at)} />
        ))}
        {total !== null && needed < total && <Part name="free" bytes={total - needed} colour="var(--ps-track)" />}
      </dl>
    </>
  );
}

const colour = (at: number): string => `var(--ps-s${(at % COLOURS) + 1})`;

function Part({ name, bytes, colour }: { name: string; bytes: number; colour: string }) {
  return (
    <div>
      <dt>
        <i style={{ background: colour }} />
        {name[0]?.toUpperCase() + name.slice(1)}
      </dt>
      <dd>{bytes > 0 && bytes < 0.05 * 2 ** 30 ? "<0.1" : gib(bytes)}</dd>
    </div>
  );
}
