/** f64 oracle of softmax; the formula is in softmax.wgsl. */
interface Shape {
  rows: number;
  cols: number;
}

export function softmax_fwd({ y, x }: { y: Float64Array; x: Float64Array }, { rows, cols }: Shape): void {
  for (let n = 0; n < rows; n++) {
    let m = Number.NEGATIVE_INFINITY;
    for (let c = 0; c < cols; c++) m = Math.max(m, x[n * cols + c]);
    let l = 0;
    for (let c = 0; c < cols; c++) l += Math.exp(x[n * cols + c] - m);
    for (let c = 0; c < cols; c++) y[n * cols + c] = Math.exp(x[n * cols + c] - m) / l;
  }
}

export function softmax_bwd({ dx, dy, y }: { dx: Float64Array; dy: Float64Array; y: Float64Array }, { rows, cols }: Shape): void {
  for (let n = 0; n < rows; n++) {
    let d = 0;
    for (let c = 0; c < cols; c++) d += dy[n * cols + c] * y[n * cols + c];
    for (let c = 0; c < cols; c++) dx[n * cols + c] = y[n * cols + c] * (dy[n * cols + c] - d);
  }
}
