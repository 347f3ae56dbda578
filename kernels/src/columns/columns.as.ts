// Columns; see columns.wgsl. A work item is a row.
export function columns(y: usize, x: usize, rows: i32, cols: i32, ld: i32, lo: i32, hi: i32): void {
  const bytes = (<usize>cols) << 2;
  for (let r: usize = lo; r < <usize>hi; r++) memory.copy(y + r * bytes, x + ((r * ld) << 2), bytes);
}
