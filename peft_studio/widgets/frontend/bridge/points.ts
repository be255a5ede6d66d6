// A curve as it comes in blocks: float64 columns, one after the other (core/runs/curve.py).

export interface Chunk {
  start: number; // index of the first point of the block; what was there from it on is replaced
  columns: string[];
}

/** Columns of equal length that grow at the end. NaN stands for "no number". */
export class Points {
  columns: Record<string, number[]> = {};
  length = 0;
  /** Changes with every block. */
  version = 0;

  take(chunk: Chunk, block: DataView): void {
    const rows = block.byteLength / 8 / chunk.columns.length;
    chunk.columns.forEach((name, index) => {
      const column = (this.columns[name] ??= []);
      column.length = chunk.start;
      for (let row = 0; row < rows; row++) column.push(block.getFloat64((index * rows + row) * 8, true));
    });
    this.length = chunk.start + rows;
    this.version++;
  }

  column(name: string): number[] {
    return this.columns[name] ?? [];
  }
}
