/** Oracle of columns; see columns.wgsl. */
export function columns({ y, x }: Record<'y' | 'x', Float64Array>, { rows, cols, ld }: { rows: number; cols: number; ld: number }): void {
  for (let r = 0; r < rows; r++) for (let c = 0; c < cols; c++) y[r * cols + c] = x[r * ld + c];
}
