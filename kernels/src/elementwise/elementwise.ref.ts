/** f64 oracle of the elementwise kernels; the formulas are in elementwise.wgsl. */
export function fill({ y }: { y: Float64Array }, { n, value }: { n: number; value: number }): void {
  y.fill(value, 0, n);
}

export function add({ y, a, b }: { y: Float64Array; a: Float64Array; b: Float64Array }, { n }: { n: number }): void {
  for (let i = 0; i < n; i++) y[i] = a[i] + b[i];
}

export function add_inplace({ y, x }: { y: Float64Array; x: Float64Array }, { n }: { n: number }): void {
  for (let i = 0; i < n; i++) y[i] += x[i];
}

export function scale_inplace({ y }: { y: Float64Array }, { n, s }: { n: number; s: number }): void {
  for (let i = 0; i < n; i++) y[i] *= s;
}

export function scaled_add_inplace({ y, x }: { y: Float64Array; x: Float64Array }, { n, s }: { n: number; s: number }): void {
  for (let i = 0; i < n; i++) y[i] += s * x[i];
}
