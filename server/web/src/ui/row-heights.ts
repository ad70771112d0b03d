// Where the rows of a long list lie: heights of 100,000 rows that change one by one as they are seen.

const BLOCK = 256;

/** Sums of blocks of rows make a place cost a few hundred additions, whatever changes. */
export class RowHeights {
  readonly count: number;
  private readonly rows: Float64Array;
  private readonly blocks: Float64Array;

  constructor(count: number, estimate: number) {
    this.count = count;
    this.rows = new Float64Array(count).fill(estimate);
    this.blocks = new Float64Array(Math.ceil(count / BLOCK)).fill(estimate * BLOCK);
    const n_last = count % BLOCK;
    if (n_last > 0) this.blocks[this.blocks.length - 1] = estimate * n_last;
  }

  /** Whether it was another height before. */
  set(row: number, height: number): boolean {
    const change = height - (this.rows[row] ?? height);
    if (Math.abs(change) < 0.1) return false;
    this.rows[row] = height;
    const block = Math.floor(row / BLOCK);
    this.blocks[block] = (this.blocks[block] ?? 0) + change;
    return true;
  }

  /** Upper edge of a row; of one behind the last, the lower edge of all. */
  top(row: number): number {
    const end = Math.min(row, this.count);
    const block = Math.floor(end / BLOCK);
    let sum = 0;
    for (let i = 0; i < block; i += 1) sum += this.blocks[i] ?? 0;
    for (let i = block * BLOCK; i < end; i += 1) sum += this.rows[i] ?? 0;
    return sum;
  }

  /** The row at a distance from the upper edge of all; the last one beyond the end. */
  rowAt(y: number): number {
    let block = 0;
    let top = 0;
    while (block < this.blocks.length - 1 && top + (this.blocks[block] ?? 0) <= y) {
      top += this.blocks[block] ?? 0;
      block += 1;
    }
    let row = block * BLOCK;
    while (row < this.count - 1 && top + (this.rows[row] ?? 0) <= y) {
      top += this.rows[row] ?? 0;
      row += 1;
    }
    return row;
  }
}
