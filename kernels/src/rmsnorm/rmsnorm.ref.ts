/** f64 oracle of RMSNorm; the formulas are in rmsnorm.wgsl. */
interface Shape {
  rows: number;
  cols: number;
}
type Arrays<K extends string> = Record<K, Float64Array>;

export function rmsnorm_fwd(
  { y, rstd, x, weight }: Arrays<'y' | 'rstd' | 'x' | 'weight'>,
  { rows, cols, eps }: Shape & { eps: number },
): void {
  for (let n = 0; n < rows; n++) {
    let ss = 0;
    for (let c = 0; c < cols; c++) ss += x[n * cols + c] ** 2;
    rstd[n] = 1 / Math.sqrt(ss / cols + eps);
    for (let c = 0; c < cols; c++) y[n * cols + c] = x[n * cols + c] * rstd[n] * weight[c];
  }
}

export function rmsnorm_bwd_dx(
  { dx, dy, x, weight, rstd }: Arrays<'dx' | 'dy' | 'x' | 'weight' | 'rstd'>,
  { rows, cols, accumulate }: Shape & { accumulate: number },
): void {
  for (let n = 0; n < rows; n++) {
    let d = 0;
    for (let c = 0; c < cols; c++) d += dy[n * cols + c] * weight[c] * x[n * cols + c];
    const k = (d / cols) * rstd[n] ** 2;
    for (let c = 0; c < cols; c++) {
      const v = rstd[n] * (dy[n * cols + c] * weight[c] - x[n * cols + c] * k);
      dx[n * cols + c] = accumulate ? dx[n * cols + c] + v : v;
    }
  }
}

export function rmsnorm_bwd_dweight({ dweight, dy, x, rstd }: Arrays<'dweight' | 'dy' | 'x' | 'rstd'>, { rows, cols }: Shape): void {
  for (let n = 0; n < rows; n++) {
    for (let c = 0; c < cols; c++) dweight[c] += dy[n * cols + c] * x[n * cols + c] * rstd[n];
  }
}
