/** What a peer is asked to do, and how it answers. Peers run in processes of their own, so all of this can be cloned. */
import type { HostBuffers, Params } from '@eagrl/kernels';
import type { BenchCase } from '../lib/case.ts';
import type { Launch } from '../lib/time.ts';

export type Kind = 'wasm' | 'webgpu' | 'cpu' | 'cuda';

export interface OpenOptions {
  readonly kind: Kind;
  readonly threads: number;
  /** Take the software adapter from npm. */
  readonly software: boolean;
}

export interface Opened {
  readonly version: string;
  readonly adapter: string;
}

/** A case by its entry point, or a whole piece of work by its name, with its params and inputs. */
export interface Job {
  readonly entry: string;
  readonly params: Params;
  readonly inputs: HostBuffers;
}

/** The job in the peer's memory. What a launch leaves behind is freed by the next one, or by the peer. */
export interface Placed extends Launch {
  /** What the last launch computed, row-major as our entry lays it out. */
  output(): Promise<Float32Array>;
  free(): void | Promise<void>;
}

export interface Peer {
  open(options: OpenOptions): Promise<Opened>;
  /** Undefined: the peer has no such operation. */
  place(job: Job): Promise<Placed | undefined>;
}

/** Entry points that peers are asked for, and the output that is compared. */
const OUTPUT: Readonly<Record<string, string>> = {
  matmul_nn: 'c',
  matmul_nt: 'c',
  matmul_tn: 'c',
  softmax_fwd: 'y',
  rmsnorm_fwd: 'y',
  attention_fwd: 'o',
};

/** And what one library alone is asked for. */
const MORE: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  'jax-js': { decoder_step: 'losses' },
  torch: { adamw: 'param', cross_entropy: 'logits', cross_entropy_fwd: 'losses', large_decoder_step: 'figures' },
};

/** Name of the binding that the peer's output is compared with; undefined where this library is not asked. */
export const outputOf = ({ entry }: Pick<BenchCase, 'entry'>, library: string): string | undefined =>
  OUTPUT[entry] ?? MORE[library]?.[entry];

export interface AttentionShape {
  readonly tokens: number;
  readonly heads: number;
  readonly headDim: number;
  readonly scale: number;
}

/**
 * Attention of a plain causal sequence as peers without grouped heads take it: q (H, T, D), kt (H, D, T) and v (H, T, D) with each
 * key-value head repeated for its query heads, and an additive mask (T, T). None of this is timed.
 */
export function plainAttention({
  params,
  inputs,
}: Job): AttentionShape & { q: Float32Array; kt: Float32Array; v: Float32Array; mask: Float32Array } {
  const { tokens, heads, kv_heads: kvHeads, head_dim: headDim, scale } = params;
  const q = new Float32Array(heads * tokens * headDim);
  const kt = new Float32Array(heads * headDim * tokens);
  const v = new Float32Array(heads * tokens * headDim);
  for (let h = 0; h < heads; h++) {
    const kv = Math.floor((h * kvHeads) / heads);
    for (let t = 0; t < tokens; t++) {
      for (let d = 0; d < headDim; d++) {
        q[(h * tokens + t) * headDim + d] = inputs.q[(t * heads + h) * headDim + d];
        kt[(h * headDim + d) * tokens + t] = inputs.k[(t * kvHeads + kv) * headDim + d];
        v[(h * tokens + t) * headDim + d] = inputs.v[(t * kvHeads + kv) * headDim + d];
      }
    }
  }
  const mask = Float32Array.from({ length: tokens * tokens }, (_, i) => (i % tokens > Math.floor(i / tokens) ? -1e9 : 0));
  return { tokens, heads, headDim, scale, q, kt, v, mask };
}

/** (H, T, D) to (T, H, D), which is how our kernel lays its output out. */
export function tokensFirst(o: Float32Array, { tokens, heads, headDim }: AttentionShape): Float32Array {
  const out = new Float32Array(o.length);
  for (let h = 0; h < heads; h++) {
    for (let t = 0; t < tokens; t++)
      out.set(o.subarray((h * tokens + t) * headDim, (h * tokens + t + 1) * headDim), (t * heads + h) * headDim);
  }
  return out;
}
