/** f64 oracle of SwiGLU; the formulas are in swiglu.wgsl. */
import { sigmoid, silu } from '../common/epilogue.ref.ts';

type Arrays<K extends string> = Record<K, Float64Array>;

export function swiglu_fwd({ y, gate, up }: Arrays<'y' | 'gate' | 'up'>, { n }: { n: number }): void {
  for (let i = 0; i < n; i++) y[i] = silu(gate[i]) * up[i];
}

export function swiglu_bwd({ dgate, dup, dy, gate, up }: Arrays<'dgate' | 'dup' | 'dy' | 'gate' | 'up'>, { n }: { n: number }): void {
  for (let i = 0; i < n; i++) {
    const s = sigmoid(gate[i]);
    dgate[i] = dy[i] * up[i] * s * (1 + gate[i] * (1 - s));
    dup[i] = dy[i] * gate[i] * s;
  }
}
