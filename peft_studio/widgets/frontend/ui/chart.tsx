// A line chart on uPlot: theme colours, crosshair shared by the charts of a panel, keyboard, no legend of its own. It shows what it is given;
// readings at the crosshair are reported, for the legend row to show.
import { useEffect, useRef, useState } from "preact/hooks";
import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";

export interface Series {
  /** Values at each x: null is a gap, undefined says nothing about this x. */
  values: (number | null | undefined)[];
  /** A CSS colour, usually a token: "var(--ps-s1)". */
  color: string;
  width?: number;
  opacity?: number;
  dash?: number[];
  points?: boolean;
}

export interface ChartProps {
  /** One sentence with what the chart shows. */
  label: string;
  x: number[];
  series: Series[];
  /** Right end of the axis; what lies between the last point and it is still to come. */
  xEnd?: number | null;
  log?: boolean;
  height: number;
  formatX: (value: number) => string;
  /** Distances of ticks to choose from, ascending; whole numbers that are 1, 2 or 5 at their first digit when not given. */
  incrementsX?: number[] | undefined;
  /** `increment` is the distance of two ticks, which says how many decimals tell them apart. */
  formatY: (value: number, increment: number) => string;
  /** Steps to mark: a soft band each. */
  bands?: number[];
  /** Thin lines with a word. */
  marks?: { x: number; word: string }[];
  /** Charts of one group share the crosshair. */
  group: string;
  onCursor?: (index: number | null) => void;
}

const WHOLE = Array.from({ length: 13 }, (_, power) => [1, 2, 5].map((digit) => digit * 10 ** power)).flat();

type Drawn = { props: ChartProps; plot: uPlot; colors: (css: string, opacity?: number) => string };

export function Chart(props: ChartProps) {
  const box = useRef<HTMLDivElement>(null);
  const drawn = useRef<Drawn | null>(null);
  const [inSight, setInSight] = useState(true); // a page may have many charts that grow, and shows one or two
  const latest = useRef(props);
  latest.current = props;
  const theme = useTheme();
  const shape = props.series.map((one) => [one.color, one.dash, one.points]).join() + props.log + props.group + theme;
  useEffect(() => {
    const element = box.current;
    if (!element) return;
    // A notebook attaches a cell's output after it is drawn: before there is a size there are no fonts and colours to ask for.
    const watch = new ResizeObserver(() => {
      const self = drawn.current;
      if (!element.clientWidth) return;
      if (self) self.plot.setSize({ width: element.clientWidth, height: self.props.height });
      else drawn.current = newPlot(latest.current, element);
    });
    watch.observe(element);
    const sight = new IntersectionObserver((news) => setInSight(news.some((one) => one.isIntersecting)));
    sight.observe(element);
    return () => {
      watch.disconnect();
      sight.disconnect();
      drawn.current?.plot.destroy();
      drawn.current = null;
    };
  }, [shape]);
  useEffect(() => {
    const self = drawn.current;
    if (!self || !inSight) return;
    const { plot, props: before } = self;
    self.props = props;
    if (before.height !== props.height) plot.setSize({ width: plot.width, height: props.height });
    if (sameDrawing(before, props)) return;
    // Who has zoomed in stays there while points come; another axis is another place.
    const { min, max } = plot.scales["x"] ?? {};
    const [low, high] = wholeRange(before);
    const zoomed = before.formatX === props.formatX && min != null && max != null && (min > low || max < high);
    plot.setData(data(props), !zoomed);
    if (zoomed) plot.setScale("x", { min, max });
  });
  const onKeyDown = (event: KeyboardEvent): void => {
    const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (by === undefined || !drawn.current) return;
    event.preventDefault();
    moveCursor(drawn.current.plot, by);
  };
  return (
    <div
      class="ps-chart"
      ref={box}
      role="img"
      aria-label={props.label}
      tabIndex={0}
      style={{ height: `${props.height}px` }}
      onKeyDown={onKeyDown}
      onBlur={() => drawn.current?.plot.setCursor({ left: -10, top: -10 })}
    />
  );
}

/** Whether there is nothing to draw anew: most often only the crosshair has moved. */
function sameDrawing(one: ChartProps, other: ChartProps): boolean {
  const same = one.x === other.x && one.xEnd === other.xEnd && one.bands?.length === other.bands?.length && one.marks?.length === other.marks?.length;
  return same && other.series.every(({ values }, at) => values === one.series[at]?.values);
}

function newPlot(props: ChartProps, element: HTMLElement): Drawn {
  const self: Drawn = { props, colors: colorsOf(element), plot: null as never };
  self.plot = new uPlot(optionsFor(self, element), data(props), element);
  return self;
}

const data = (props: ChartProps): uPlot.AlignedData => [props.x, ...props.series.map((one) => one.values)] as uPlot.AlignedData;

function optionsFor(self: Drawn, element: HTMLElement): uPlot.Options {
  const { colors } = self;
  const style = getComputedStyle(element);
  const font = `${Math.round(parseFloat(style.fontSize))}px ${style.fontFamily}`; // uPlot reads whole pixels only
  const axis = { stroke: colors("var(--ps-axis)"), font, ticks: { show: false } };
  return {
    width: element.clientWidth || 300,
    height: self.props.height,
    padding: [8, 10, 0, 0],
    legend: { show: false },
    cursor: {
      y: false,
      points: { show: false },
      sync: { key: self.props.group, setSeries: false },
      drag: { setScale: true, x: true, y: false },
    },
    scales: {
      x: { time: false, range: (_, low, high) => xRange(self.props, low, high) },
      y: { distr: self.props.log ? 3 : 1 },
    },
    axes: [
      { ...axis, size: 24, gap: 6, grid: { show: false }, space: 64, incrs: () => self.props.incrementsX ?? WHOLE, values: (_, at) => at.map(self.props.formatX) },
      {
        ...axis,
        size: 44,
        gap: 6,
        space: self.props.height < 120 ? 24 : 32,
        grid: { stroke: colors("var(--ps-grid)"), width: 1 },
        // On a log axis minor ticks are null and stay unlabelled, and each has its own distance to the next.
        values: (_, at, __, ___, increment) =>
          at.map((value) => (value == null ? "" : self.props.formatY(value, self.props.log ? value : increment))),
      },
    ],
    series: [{}, ...self.props.series.map((one) => lineOf(one, colors))],
    hooks: {
      drawClear: [(plot) => drawBands(plot, self)],
      drawAxes: [(plot) => drawFrame(plot, self, font)],
      setCursor: [(plot) => self.props.onCursor?.(plot.cursor.idx ?? null)],
    },
  };
}

function lineOf(one: Series, colors: Drawn["colors"]): uPlot.Series {
  const stroke = colors(one.color, one.opacity);
  const points = one.points
    ? { show: true, size: 10, width: 2, stroke: colors("var(--ps-surface)"), fill: stroke }
    : { show: (plot: uPlot) => plot.data[0].length < 2, size: 4 }; // one value alone makes no line
  return { stroke, width: one.width ?? 1.75, points, ...(one.dash ? { dash: one.dash } : {}) };
}

function xRange(props: ChartProps, low: number | null, high: number | null): [number, number] {
  const [first, last] = endsOf(props);
  // uPlot asks with the ends of the data, unless somebody has zoomed in.
  return low !== null && high !== null && (low > first || high < last) ? [low, high] : wholeRange(props);
}

const endsOf = ({ x }: ChartProps): [number, number] => [x[0] ?? 0, x[x.length - 1] ?? 1];

function wholeRange(props: ChartProps): [number, number] {
  const [first, last] = endsOf(props);
  return [Math.min(0, first), Math.max(props.xEnd ?? 0, last, first + 1e-9)];
}

function drawBands(plot: uPlot, { props, colors }: Drawn): void {
  const { ctx, bbox } = plot;
  ctx.save();
  ctx.fillStyle = colors("var(--ps-warn)", 0.18);
  for (const step of props.bands ?? []) {
    const at = plot.valToPos(step, "x", true);
    if (at >= bbox.left && at <= bbox.left + bbox.width) ctx.fillRect(at - 4 * devicePixelRatio, bbox.top, 8 * devicePixelRatio, bbox.height);
  }
  ctx.restore();
}

function drawFrame(plot: uPlot, { props, colors }: Drawn, font: string): void {
  const { ctx, bbox } = plot;
  const px = devicePixelRatio;
  ctx.save();
  ctx.lineWidth = px;
  ctx.strokeStyle = colors("var(--ps-border-strong)");
  ctx.beginPath();
  ctx.moveTo(bbox.left, bbox.top + bbox.height);
  ctx.lineTo(bbox.left + bbox.width, bbox.top + bbox.height);
  ctx.stroke();
  ctx.strokeStyle = colors("var(--ps-grid)");
  ctx.fillStyle = colors("var(--ps-axis)");
  ctx.font = font.replace(/^[\d.]+/, (size) => String(Number(size) * px));
  ctx.textAlign = "center";
  for (const mark of props.marks ?? []) {
    const at = plot.valToPos(mark.x, "x", true);
    if (at < bbox.left + 30 * px || at > bbox.left + bbox.width - 30 * px) continue;
    ctx.beginPath();
    ctx.moveTo(at, bbox.top + 16 * px);
    ctx.lineTo(at, bbox.top + bbox.height);
    ctx.stroke();
    ctx.fillText(mark.word, at, bbox.top + 10 * px);
  }
  ctx.restore();
}

function moveCursor(plot: uPlot, by: number): void {
  const x = plot.data[0];
  if (!x.length) return;
  const at = plot.cursor.idx ?? (by > 0 ? -1 : x.length);
  const next = Math.min(x.length - 1, Math.max(0, at + by));
  plot.setCursor({ left: plot.valToPos(x[next] ?? 0, "x"), top: 10 });
}

/** Canvas does not know custom properties: ask the browser what a token means here. */
function colorsOf(element: HTMLElement): (css: string, opacity?: number) => string {
  const probe = document.createElement("span");
  probe.hidden = true;
  element.append(probe);
  return (css, opacity = 1) => {
    probe.style.color = opacity < 1 ? `color-mix(in srgb, ${css} ${opacity * 100}%, transparent)` : css;
    return getComputedStyle(probe).color;
  };
}

/** Changes when the page's theme does. */
function useTheme(): number {
  const [count, setCount] = useState(0);
  useEffect(() => {
    const watch = new MutationObserver(() => setCount((before) => before + 1));
    watch.observe(document.body, { attributes: true, attributeFilter: ["data-jp-theme-light", "data-jp-theme-name", "data-vscode-theme-id"] });
    return () => watch.disconnect();
  }, []);
  return count;
}
