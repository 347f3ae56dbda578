/**
 * Rotary position embedding, rotate-half convention of Hugging Face: each pair (x[d], x[d + D/2]) of every head is turned by
 * positions[n] / theta^(2 d / D). x, y (N, heads * D). Backward turns dy the other way; nothing is saved.
 */
import { rope as spec } from '@eagrl/kernels';
import type { Context } from '../context.ts';
import { expectTensor, type Tensor } from '../tensor.ts';

/** (maxPositions, D): cosines of the D/2 angles, then their sines, computed in f64. */
export function ropeTable(maxPositions: number, headDim: number, theta: number): Float32Array {
  const half = headDim / 2;
  const table = new Float32Array(maxPositions * headDim);
  for (let p = 0; p < maxPositions; p++) {
    for (let d = 0; d < half; d++) {
      const angle = p * theta ** (-d / half);
      table[p * headDim + d] = Math.cos(angle);
      table[p * headDim + half + d] = Math.sin(angle);
    }
  }
  return table;
}

/** `positions` (N) u32 and `cosSin` (maxPositions, D) must outlive the tape. */
export function rope(ctx: Context, x: Tensor, positions: Tensor, cosSin: Tensor, heads: number): Tensor {
  const [maxPos, headDim] = cosSin.shape;
  expectTensor('rope', 'x', x, [-1, heads * headDim]);
  const tokens = x.shape[0];
  expectTensor('rope', 'positions', positions, [tokens], 'u32');
  const turn = (from: Tensor, sign: 1 | -1): Tensor => {
    const to = ctx.tensor(x.shape);
    ctx.run(spec, 'rope_fwd', [to, from, positions, cosSin], { tokens, heads, head_dim: headDim, sign, max_pos: maxPos });
    return to;
  };
  const y = turn(x, 1);
  ctx.record([y], [], (tape) => tape.give(x, turn(tape.grad(y), -1)));
  return y;
}
