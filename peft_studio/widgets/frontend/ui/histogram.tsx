// A histogram in plain SVG, drawn to its own width: bars, a line where values are cut, a table of the same numbers behind a button.
import { useEffect, useRef, useState } from "preact/hooks";
import { Button } from "./button";
import { count } from "./format";

/** From, up to and with, how many. */
export type Bin = [low: number, high: number, count: number];

interface HistogramProps {
  bins: Bin[];
  /** One sentence with what the chart shows. */
  label: string;
  /** What the values are and what is counted: heads of the table. */
  heads: [values: string, counted: string];
  /** Values above are cut; null when none are. */
  cut: number | null;
  /** What stands at the line of the cut. */
  cutWord: string;
}

const HEIGHT = 148;
const [LEFT, RIGHT, TOP, BOTTOM] = [44, 8, 20, 22];

export function Histogram(props: HistogramProps) {
  const [table, setTable] = useState(false);
  return (
    <div class="ps-histogram">
      {table ? <BinTable {...props} /> : <Bars {...props} />}
      <Button kind="quiet" small expanded={table} onPress={() => setTable(!table)}>
        Table
      </Button>
    </div>
  );
}

function Bars({ bins, label, cut, cutWord }: HistogramProps) {
  const box = useRef<HTMLDivElement>(null);
  const [width, setWidth] = useState(0);
  useEffect(() => {
    if (!box.current) return;
    const watch = new ResizeObserver(([entry]) => entry && setWidth(entry.contentRect.width));
    watch.observe(box.current);
    return () => watch.disconnect();
  }, []);
  const [first, last] = [bins[0]?.[0] ?? 0, (bins.at(-1)?.[1] ?? 0) + 1];
  const low = first * 3 < last ? 0 : first;
  const top = Math.max(1, ...bins.map((bin) => bin[2]));
  const x = (value: number): number => LEFT + ((value - low) / (last - low || 1)) * Math.max(0, width - LEFT - RIGHT);
  const y = (value: number): number => HEIGHT - BOTTOM - (value / top) * (HEIGHT - TOP - BOTTOM);
  const cutAt = cut !== null && cut < last && cut >= low ? x(cut + 1) : null;
  return (
    <div ref={box} style={{ height: `${HEIGHT}px` }} role="img" aria-label={label}>
      {width > 0 && (
        <svg width={width} height={HEIGHT} aria-hidden="true">
          {ticks(0, top, 3).map((value) => (
            <g key={value}>
              <path class="ps-grid" d={`M${LEFT} ${y(value)}H${width - RIGHT}`} />
              <text x={LEFT - 6} y={y(value) + 4} text-anchor="end">
                {count(value)}
              </text>
            </g>
          ))}
          {bins.map(([from, to, many]) => (
            <rect
              key={from}
              class={cut !== null && from > cut ? "ps-over" : ""}
              x={x(from) + 0.5}
              width={Math.max(1, x(to + 1) - x(from) - 1)}
              y={many ? Math.min(y(many), HEIGHT - BOTTOM - 1) : HEIGHT - BOTTOM}
              height={many ? Math.max(1, HEIGHT - BOTTOM - y(many)) : 0}
            />
          ))}
          <path class="ps-base" d={`M${LEFT} ${HEIGHT - BOTTOM + 0.5}H${width - RIGHT}`} />
          {ticks(low, last - 1, width > 360 ? 5 : 3).map((value) => (
            <text key={value} x={x(value + 0.5)} y={HEIGHT - 6} text-anchor={x(value) > width - 40 ? "end" : "middle"}>
              {count(value)}
            </text>
          ))}
          {cutAt !== null && (
            <>
              <path class="ps-base" d={`M${cutAt} 4V${HEIGHT - BOTTOM}`} />
              <text class="ps-word" x={cutAt > width / 2 ? cutAt - 6 : cutAt + 6} y={13} text-anchor={cutAt > width / 2 ? "end" : "start"}>
                {cutWord}
              </text>
            </>
          )}
        </svg>
      )}
    </div>
  );
}

function BinTable({ bins, heads }: HistogramProps) {
  return (
    <div class="ps-scroll" tabIndex={0} role="region" aria-label={heads.join(", ")}>
      <table class="ps-table">
        <thead>
          <tr>
            <th>{heads[0]}</th>
            <th class="ps-num">{heads[1]}</th>
          </tr>
        </thead>
        <tbody>
          {bins.map(([from, to, many]) => (
            <tr key={from}>
              <th scope="row">{from === to ? count(from) : `${count(from)}–${count(to)}`}</th>
              <td class="ps-num">{count(many)}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

/** Round values between two, about so many apart. */
function ticks(low: number, high: number, about: number): number[] {
  const rough = Math.max(1, (high - low) / about);
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = ([1, 2, 5, 10].find((digit) => digit * power >= rough) ?? 10) * power;
  const found: number[] = [];
  for (let at = Math.ceil(low / step) * step; at <= high; at += step) found.push(at);
  return found;
}
