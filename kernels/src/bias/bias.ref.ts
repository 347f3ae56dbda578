/** f64 oracle of the bias gradient; the formula is in bias.wgsl. */
export function bias_bwd({ dbias, dy }: { dbias: Float64Array; dy: Float64Array }, { rows, cols }: { rows: number; cols: number }): void {
  for (let n = 0; n < rows; n++) {
    for (let c = 0; c < cols; c++) dbias[c] += dy[n * cols + c];
  }
}
