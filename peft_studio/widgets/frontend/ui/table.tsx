// A table of any length, of which the page holds a window: heads that sort, rows that can be selected and opened by keyboard,
// and columns that leave as the width shrinks and come back as words in the row's second line.
import type { ComponentChildren } from "preact";
import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import { Icon } from "./icon";
import "./table.css";

export interface Column<Row> {
  title: string;
  /** Name of the order that its head asks for; without it the head is only a word. */
  order?: string;
  numeric?: boolean;
  /** The cell that names the row, in which the second line stands. */
  names?: boolean;
  /** The width below which it leaves: p3 860, p2 660, p1 420. */
  leaves?: "p1" | "p2" | "p3";
  width?: string;
  cell: (row: Row) => ComponentChildren;
  /** What stands in the second line when the column has left. */
  brief?: (row: Row) => string | null;
}

interface TableProps<Row> {
  label: string;
  columns: Column<Row>[];
  /** How many rows there are, and the ones the page has, from `start` on. */
  total: number;
  start: number;
  rows: Row[];
  keyOf: (row: Row) => string;
  nameOf: (row: Row) => string;
  note: (row: Row) => string;
  order: { by: string; descending: boolean };
  selected: (row: Row) => boolean;
  /** The row that other panels show. */
  current: (row: Row) => boolean;
  /** Changes when other rows are asked for: the table goes back to its top. */
  epoch: string;
  onSort: (by: string, descending: boolean) => void;
  onSelect: (row: Row, on: boolean) => void;
  onOpen: (row: Row) => void;
  onWindow: (start: number, count: number) => Promise<unknown>;
}

const ROW = 44; // pixels, as in table.css; a row of one height, so that the place of every row is known
const HEAD = 28;
const [AROUND, WINDOW] = [8, 90]; // rows drawn beyond what is seen, rows asked for

export function Table<Row>(props: TableProps<Row>) {
  const { columns, total, start, rows } = props;
  const box = useRef<HTMLDivElement>(null);
  const { top, height } = useScroll(box);
  const seen = { first: Math.floor(top / ROW), last: Math.ceil((top + height) / ROW) };
  const first = Math.max(0, Math.min(seen.first - AROUND, total - 1));
  const last = Math.min(total, seen.last + AROUND);
  const keys = useRoving(box, total, props.epoch);
  useWindow(props, first, last);
  const reachable = keys.active >= first && keys.active < last ? keys.active : Math.min(seen.first, total - 1);
  const rowAt = (at: number): Row | undefined => rows[at - start];
  const onKeyDown = (event: KeyboardEvent): void => {
    if (!(event.target instanceof HTMLTableRowElement)) return;
    const row = rowAt(keys.active);
    if (keys.move(event.key, Math.max(1, Math.floor(height / ROW) - 1))) event.preventDefault();
    else if (row && event.key === " ") props.onSelect(row, !props.selected(row));
    else if (row && event.key === "Enter") props.onOpen(row);
    else return;
    event.preventDefault();
  };
  return (
    <div class="ps-grid" ref={box}>
      <table role="grid" aria-label={props.label} aria-rowcount={total + 1} aria-multiselectable="true">
        <thead>
          <tr aria-rowindex={1}>
            <th class="ps-pick">
              <span class="ps-hidden">Select</span>
            </th>
            {columns.map((column) => (
              <HeadCell key={column.title} column={column} order={props.order} onSort={props.onSort} />
            ))}
          </tr>
        </thead>
        <tbody onKeyDown={onKeyDown}>
          {first > 0 && <tr role="presentation" class="ps-space" style={{ height: `${first * ROW}px` }} />}
          {Array.from({ length: Math.max(0, last - first) }, (_, offset) => {
            const at = first + offset;
            const row = rowAt(at);
            return row ? (
              <BodyRow key={props.keyOf(row)} table={props} row={row} at={at} reachable={at === reachable} onFocus={() => keys.setActive(at)} />
            ) : (
              <tr key={`at-${at}`} aria-rowindex={at + 2} aria-busy="true">
                <td colSpan={columns.length + 1}>
                  <i class="ps-bar" />
                </td>
              </tr>
            );
          })}
          {last < total && <tr role="presentation" class="ps-space" style={{ height: `${(total - last) * ROW}px` }} />}
        </tbody>
      </table>
    </div>
  );
}

function HeadCell<Row>({ column, order, onSort }: { column: Column<Row>; order: { by: string; descending: boolean }; onSort: (by: string, descending: boolean) => void }) {
  const sorted = column.order === order.by;
  const by = column.order;
  return (
    <th class={classOf(column)} style={column.width ? { width: column.width } : undefined} aria-sort={sorted ? (order.descending ? "descending" : "ascending") : undefined}>
      {by ? (
        <button type="button" onClick={() => onSort(by, sorted ? !order.descending : by !== "name" && by !== "state")}>
          {column.title}
          {sorted && (
            <span class={order.descending ? "" : "ps-turned"}>
              <Icon name="down" />
            </span>
          )}
        </button>
      ) : (
        column.title
      )}
    </th>
  );
}

interface BodyRowProps<Row> {
  table: TableProps<Row>;
  row: Row;
  at: number;
  reachable: boolean;
  onFocus: () => void;
}

function BodyRow<Row>({ table, row, at, reachable, onFocus }: BodyRowProps<Row>) {
  const name = table.nameOf(row);
  const on = table.selected(row);
  return (
    <tr data-at={at} tabIndex={reachable ? 0 : -1} aria-rowindex={at + 2} aria-selected={on} aria-current={table.current(row) ? "true" : undefined} onFocus={onFocus}>
      <td class="ps-pick">
        <input type="checkbox" tabIndex={-1} checked={on} aria-label={`Select ${name}`} onChange={() => table.onSelect(row, !on)} />
      </td>
      {table.columns.map((column) =>
        column.names ? (
          <th key={column.title} scope="row">
            <button type="button" class="ps-open" tabIndex={-1} title={name} onClick={() => table.onOpen(row)}>
              <bdi>{name}</bdi>
            </button>
            <SecondLine table={table} row={row} />
          </th>
        ) : (
          <td key={column.title} class={classOf(column)}>
            {column.cell(row)}
          </td>
        ),
      )}
    </tr>
  );
}

/** The note, and in words whatever column has left. */
function SecondLine<Row>({ table, row }: { table: TableProps<Row>; row: Row }) {
  return (
    <span class="ps-second">
      <bdi>{table.note(row)}</bdi>
      {table.columns.map((column) => {
        const words = column.leaves && column.brief?.(row);
        return words && <span key={column.title} class={`ps-back-${column.leaves}`}>{words}</span>;
      })}
    </span>
  );
}

function classOf<Row>(column: Column<Row>): string {
  return [column.numeric ? "ps-num" : "", column.leaves ? `ps-leaves-${column.leaves}` : ""].join(" ").trim();
}

/** How far the box is scrolled, and how high it is. */
function useScroll(box: { current: HTMLDivElement | null }): { top: number; height: number } {
  const [place, setPlace] = useState({ top: 0, height: 480 });
  useEffect(() => {
    const element = box.current;
    if (!element) return;
    const look = (): void => setPlace({ top: element.scrollTop, height: element.clientHeight - HEAD });
    const watch = new ResizeObserver(look);
    watch.observe(element);
    element.addEventListener("scroll", look, { passive: true });
    return () => {
      watch.disconnect();
      element.removeEventListener("scroll", look);
    };
  }, []);
  return place;
}

/** One row is in the tab order; arrows, pages, Home and End move it, also to rows that the page does not have yet. */
function useRoving(box: { current: HTMLDivElement | null }, total: number, epoch: string) {
  const [active, setActive] = useState(0);
  const wanted = useRef(false);
  useEffect(() => {
    setActive(0);
    if (box.current) box.current.scrollTop = 0;
  }, [epoch]);
  useLayoutEffect(() => {
    if (!wanted.current) return;
    const row = box.current?.querySelector<HTMLElement>(`tr[data-at="${active}"]`);
    row?.focus({ preventScroll: true });
    if (row) wanted.current = false;
  });
  const move = (key: string, page: number): boolean => {
    const steps: Record<string, number> = { ArrowDown: active + 1, ArrowUp: active - 1, PageDown: active + page, PageUp: active - page, Home: 0, End: total - 1 };
    const to = steps[key];
    if (to === undefined) return false;
    const next = Math.max(0, Math.min(total - 1, to));
    wanted.current = true;
    setActive(next);
    const element = box.current;
    if (!element) return true;
    const [above, below] = [next * ROW, (next + 1) * ROW + HEAD - element.clientHeight];
    if (element.scrollTop > above) element.scrollTop = above;
    else if (element.scrollTop < below) element.scrollTop = below;
    return true;
  };
  return { active, setActive, move };
}

/** Asks for the rows that are about to be seen, one question at a time. */
function useWindow<Row>({ total, start, rows, onWindow }: TableProps<Row>, first: number, last: number): void {
  const asking = useRef(false);
  const [, again] = useState(0);
  useEffect(() => {
    const held = first >= start && Math.min(last, total) <= start + rows.length;
    if (held || asking.current) return;
    asking.current = true;
    const from = Math.max(0, Math.round((first + last) / 2) - WINDOW / 2);
    void onWindow(from, WINDOW).finally(() => {
      asking.current = false;
      again((count) => count + 1);
    });
  });
}
