/** f64 oracle of the gate; formulas in gate.wgsl. */
type Buffers = Record<string, Float64Array>;
interface Shape {
  n: number;
}

export function gate_fwd({ y, g, x, z }: Buffers, { n }: Shape): void {
  for (let i = 0; i < n; i++) {
    g[i] = 1 / (1 + Math.exp(-z[i]));
    y[i] = x[i] * g[i];
  }
}

export function gate_bwd({ dx, dz, dy, x, g }: Buffers, { n }: Shape): void {
  for (let i = 0; i < n; i++) {
    dx[i] = dy[i] * g[i];
    dz[i] = dy[i] * x[i] * g[i] * (1 - g[i]);
  }
}
