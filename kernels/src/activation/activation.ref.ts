/** f64 oracle of the activations; formulas in activation.wgsl. */
type Buffers = Record<string, Float64Array>;
interface Shape {
  n: number;
}

export function tanh_fwd({ y, x }: Buffers, { n }: Shape): void {
  for (let i = 0; i < n; i++) y[i] = Math.tanh(x[i]);
}

export function tanh_bwd({ dx, dy, y }: Buffers, { n }: Shape): void {
  for (let i = 0; i < n; i++) dx[i] = dy[i] * (1 - y[i] ** 2);
}

export function relu_fwd({ y, x }: Buffers, { n }: Shape): void {
  for (let i = 0; i < n; i++) y[i] = Math.max(x[i], 0);
}

export function relu_bwd({ dx, dy, y }: Buffers, { n }: Shape): void {
  for (let i = 0; i < n; i++) dx[i] = y[i] > 0 ? dy[i] : 0;
}
