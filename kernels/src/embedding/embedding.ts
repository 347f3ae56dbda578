import { vec4ForHardware } from '../common/per_element.ts';
import { ceilDiv, f32, grid1d, type KernelSpec, u32 } from '../common/spec.ts';
import vec4 from '../gen/embedding.vec4.wgsl.ts';
import wasm from '../gen/embedding.wasm.ts';
import wgsl from '../gen/embedding.wgsl.ts';
import * as ref from './embedding.ref.ts';

interface Fwd {
  tokens: number;
  dim: number;
  vocab: number;
}
interface Bwd extends Fwd {
  num_unique: number;
}

/** Elements per workgroup of the forward: embedding.wgsl. */
const WG = 64;

const four = (entry: string, rows: (p: any) => number) =>
  vec4ForHardware(
    { wgsl: vec4, entry, grid: (p: Fwd) => grid1d(ceilDiv(rows(p) * (p.dim / 4), WG)) },
    ({ dim }: Fwd) => dim % 4 === 0,
    (p: Fwd) => `${rows(p)}x${p.dim}`,
  );

/**
 * Rows by index: y (tokens, dim) = rows `ids` of weight (vocab, dim); an id >= vocab gives zeros. Backward accumulates into dweight
 * over tokens that the host has grouped by id: `order` lists the tokens (each at most once), group u is
 * order[row_start[u] .. row_start[u+1]) and belongs to unique_ids[u]; unique_ids holds no id twice.
 */
export const embedding = {
  name: 'embedding',
  wgsl,
  wasm,
  ref,
  entries: {
    embedding_fwd: {
      bindings: [f32('y', 'write'), f32('weight'), u32('ids')],
      params: { tokens: 'u32', dim: 'u32', vocab: 'u32' },
      size: ({ tokens, dim, vocab }: Fwd) => ({ y: tokens * dim, weight: vocab * dim, ids: tokens }),
      ...four('embedding_fwd', ({ tokens }: Fwd) => tokens),
      grid: ({ tokens, dim }: Fwd) => grid1d(ceilDiv(tokens * dim, WG)),
      work: ({ tokens }: Fwd) => tokens,
      flops: () => 0,
      bytes: ({ tokens, dim }: Fwd) => 4 * tokens * (2 * dim + 1),
    },
    embedding_bwd: {
      bindings: [f32('dweight', 'read_write'), f32('dy'), u32('order'), u32('unique_ids'), u32('row_start')],
      params: { num_unique: 'u32', dim: 'u32', tokens: 'u32', vocab: 'u32' },
      size: ({ num_unique, dim, tokens, vocab }: Bwd) => ({
        dweight: vocab * dim,
        dy: tokens * dim,
        order: tokens,
        unique_ids: num_unique,
        row_start: num_unique + 1,
      }),
      ...four('embedding_bwd', ({ num_unique }: Bwd) => num_unique),
      grid: ({ num_unique }: Bwd) => grid1d(num_unique),
      work: ({ num_unique }: Bwd) => num_unique,
      flops: ({ dim, tokens }: Bwd) => tokens * dim,
      bytes: ({ num_unique, dim, tokens }: Bwd) => 4 * (tokens * (dim + 1) + num_unique * (2 * dim + 2)),
    },
  },
} satisfies KernelSpec;
