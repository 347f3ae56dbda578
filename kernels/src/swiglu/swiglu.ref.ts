/** f64 oracle of SwiGLU; the formulas are in swiglu.wgsl. */
type Arrays<K extends string> = Record<K, Float64Array>;

const sigmoid = (v: number) => 1 / (1 + Math.exp(-v));

export function swiglu_fwd({ y, gate, up }: Arrays<'y' | 'gate' | 'up'>, { n }: { n: number }): void {
  for (let i = 0; i < n; i++) y[i] = gate[i] * sigmoid(gate[i]) * up[i];
}

export function swiglu_bwd({ dgate, dup, dy, gate, up }: Arrays<'dgate' | 'dup' | 'dy' | 'gate' | 'up'>, { n }: { n: number }): void {
  for (let i = 0; i < n; i++) {
    const s = sigmoid(gate[i]);
    dgate[i] = dy[i] * up[i] * s * (1 + gate[i] * (1 - s));
    dup[i] = dy[i] * gate[i] * s;
  }
}
