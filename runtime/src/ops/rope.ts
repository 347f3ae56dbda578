/**
 * Rotary position embedding, rotate-half convention of Hugging Face: each pair (x[d], x[d + D/2]) of every head is turned by
 * positions[n] times its frequency. x, y (N, heads * D). Backward turns dy the other way; nothing is saved.
 */
import { rope as spec } from '@eagrl/kernels';
import type { Context } from '../context.ts';
import type { TransformerConfig } from '../model/config.ts';
import { expectTensor, type Tensor } from '../tensor.ts';
import type { HeadShape } from './attention.ts';

/** What the table needs of a model's config. */
type RopeShape = Pick<TransformerConfig, 'head_dim' | 'max_position_embeddings' | 'rope_theta' | 'rope_scaling'>;

/**
 * (D / 2) angles per position: theta^(-2 d / D). With Llama 3.1's scaling, where w = 2 pi / f is a frequency's wavelength, C the
 * original context, and l and h the two factors: f / factor for w > C / l, f for w < C / h, and between them the blend
 * (1 - s) f / factor + s f with s = (C / w - l) / (h - l). Source: transformers, modeling_rope_utils.py, `_compute_llama3_parameters`.
 */
export function ropeFrequencies({
  head_dim: dim,
  rope_theta: theta,
  rope_scaling: scaling,
}: Omit<RopeShape, 'max_position_embeddings'>): number[] {
  const plain = Array.from({ length: dim / 2 }, (_, d) => theta ** ((-2 * d) / dim));
  if (!scaling) return plain;
  const { factor, low_freq_factor: low, high_freq_factor: high, original_max_position_embeddings: context } = scaling;
  return plain.map((f) => {
    const turns = (context * f) / (2 * Math.PI);
    const s = Math.min(1, Math.max(0, (turns - low) / (high - low)));
    return ((1 - s) * f) / factor + s * f;
  });
}

/** (max_position_embeddings, D): cosines of the D / 2 angles, then their sines, computed in f64. */
export function ropeTable(shape: RopeShape): Float32Array {
  const { head_dim: dim, max_position_embeddings: positions } = shape;
  const frequencies = ropeFrequencies(shape);
  const table = new Float32Array(positions * dim);
  for (let p = 0; p < positions; p++) {
    frequencies.forEach((f, d) => {
      table[p * dim + d] = Math.cos(p * f);
      table[p * dim + dim / 2 + d] = Math.sin(p * f);
    });
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

/**
 * The same of a fused projection qkv (N, (heads + 2 kvHeads) * D): q (N, heads * D) and k (N, kvHeads * D) turned, v (N, kvHeads * D) as it is. Backward
 * assigns the gradient of qkv; saves nothing. All three outputs must be used.
 */
export function ropeQkv(
  ctx: Context,
  qkv: Tensor,
  positions: Tensor,
  cosSin: Tensor,
  { heads, kvHeads, headDim }: HeadShape,
): { q: Tensor; k: Tensor; v: Tensor } {
  expectTensor('ropeQkv', 'cosSin', cosSin, [-1, headDim]);
  expectTensor('ropeQkv', 'qkv', qkv, [-1, (heads + 2 * kvHeads) * headDim]);
  const [tokens] = qkv.shape;
  expectTensor('ropeQkv', 'positions', positions, [tokens], 'u32');
  const params = { tokens, heads, kv_heads: kvHeads, head_dim: headDim, max_pos: cosSin.shape[0] };
  const q = ctx.tensor([tokens, heads * headDim]);
  const [k, v] = [0, 1].map(() => ctx.tensor([tokens, kvHeads * headDim]));
  ctx.run(spec, 'rope_qkv_fwd', [q, k, v, qkv, positions, cosSin], params);
  ctx.record([q, k, v], [], (tape) => {
    const dqkv = ctx.tensor(qkv.shape);
    ctx.run(spec, 'rope_qkv_bwd', [dqkv, ...[q, k, v].map((t) => tape.grad(t)), positions, cosSin], params);
    tape.give(qkv, dqkv);
  });
  return { q, k, v };
}
