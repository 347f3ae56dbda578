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

interface Fused {
  rows: number;
  cols: number;
}

export function swiglu_fused_fwd({ y, gate_up }: Arrays<'y' | 'gate_up'>, { rows, cols }: Fused): void {
  for (let r = 0; r < rows; r++) {
    const [gate, up] = [0, 1].map((half) => gate_up.subarray((2 * r + half) * cols, (2 * r + half + 1) * cols));
    swiglu_fwd({ y: y.subarray(r * cols, (r + 1) * cols), gate, up }, { n: cols });
  }
}

export function swiglu_fused_bwd({ dgate_up, dy, gate_up }: Arrays<'dgate_up' | 'dy' | 'gate_up'>, { rows, cols }: Fused): void {
  for (let r = 0; r < rows; r++) {
    const halves = (of: Float64Array) => [0, 1].map((half) => of.subarray((2 * r + half) * cols, (2 * r + half + 1) * cols));
    const [[gate, up], [dgate, dup]] = [halves(gate_up), halves(dgate_up)];
    swiglu_bwd({ dgate, dup, dy: dy.subarray(r * cols, (r + 1) * cols), gate, up }, { n: cols });
  }
}
