/** attention_bwd.tiled.wgsl and attention_bwd_delta.lanes.wgsl as variants, and which of them a GPU takes. */
import { ceilDiv, grid1d, type Rule, type Variant } from '../common/spec.ts';
import tiled from '../gen/attention_bwd.tiled.wgsl.ts';
import lanes from '../gen/attention_bwd_delta.lanes.wgsl.ts';

interface Shape {
  tokens: number;
  heads: number;
  kv_heads: number;
  head_dim: number;
}

/** Rows of a workgroup, and of the other side at a time. */
const ROWS = 32;
/** Threads of a workgroup of the second pass; elements of its scratch at the most: 256 MiB. */
const SUM_THREADS = 64;
const MOST_PARTS = 2 ** 26;

interface Tiles {
  readonly side: 'dq' | 'dkdv';
  readonly head_dim: number;
  /** Rows lie whole in workgroup memory, not 32 elements at a time. */
  readonly whole?: boolean;
  /** Workgroups that share the other side of a block, for a second pass to add up; not given: one, without a second pass. */
  readonly slices?: number;
}

const nameOf = ({ head_dim, whole = false, slices }: Tiles) =>
  `tiled_${head_dim}${whole ? '_whole' : ''}${slices === undefined ? '' : `_parts_${slices}`}`;

function tiledVariant(tiles: Tiles): Variant {
  const { side, head_dim, whole = false, slices } = tiles;
  const [outputs, outputHeads] = side === 'dq' ? [1, (p: Shape) => p.heads] : [2, (p: Shape) => p.kv_heads];
  const chunk = (whole ? head_dim : 32) / 4;
  const constants = { cols: head_dim / 4, chunk, slices: slices ?? 1 };
  const blocks = ({ tokens }: Shape) => ceilDiv(tokens, ROWS);
  const common = {
    name: nameOf(tiles),
    // Rows of both sides, probabilities and, for dk, their gradients; then the bounds.
    workgroupBytes: 16 * (4 * ROWS * (chunk + 1) + outputs * ROWS * (ROWS / 4 + 1)) + 32,
    ordered: false,
  };
  if (slices === undefined) {
    const grid = (p: Shape) => grid1d(p.heads * blocks(p));
    const passes = [{ wgsl: tiled, entry: `attention_bwd_${side}`, constants, grid }];
    return { ...common, applies: (p: Shape) => p.head_dim === head_dim, passes };
  }
  const scratch = (p: Shape) => outputs * slices * p.tokens * p.heads * p.head_dim;
  const vectors = (p: Shape) => (outputs * p.tokens * outputHeads(p) * p.head_dim) / 4;
  return {
    ...common,
    storageBuffers: side === 'dq' ? 8 : 9,
    applies: (p: Shape) => p.head_dim === head_dim && scratch(p) <= MOST_PARTS,
    passes: [
      { wgsl: tiled, entry: `${side}_parts`, constants, grid: (p: Shape) => grid1d(slices * p.heads * blocks(p)) },
      { wgsl: tiled, entry: `${side}_sum`, constants, grid: (p: Shape) => grid1d(ceilDiv(vectors(p), SUM_THREADS)) },
    ],
    scratch,
  };
}

/** Blocks of all query heads below which the other side is cut in slices too. Measured on an H200: README.md. */
const FEW_BLOCKS = { dq: 512, dkdv: 128 };

/** In the order of choice: of whole rows, then of 32 elements; in slices where blocks are few. */
const CHOICES: Readonly<Record<Tiles['side'], readonly Tiles[]>> = {
  dq: [32, 64, 128].flatMap((head_dim): Tiles[] => [
    { side: 'dq', head_dim, slices: 4 },
    { side: 'dq', head_dim },
  ]),
  dkdv: [32, 64, 128].flatMap((head_dim) =>
    [4, 1].flatMap((slices): Tiles[] => [
      ...(head_dim === 64 ? [{ side: 'dkdv', head_dim, whole: true, slices } as const] : []),
      { side: 'dkdv', head_dim, slices },
    ]),
  ),
};

export const tiledVariants = (side: Tiles['side']): readonly Variant[] => CHOICES[side].map(tiledVariant);

export const tiledRules = (side: Tiles['side']): readonly Rule[] =>
  CHOICES[side].map((tiles) => ({
    variant: nameOf(tiles),
    when: ({ tokens, heads, head_dim }: Shape) =>
      head_dim === tiles.head_dim && (tiles.slices !== 4 || heads * ceilDiv(tokens, ROWS) < FEW_BLOCKS[side]),
  }));

/** Threads of a workgroup of attention_bwd_delta.lanes.wgsl, and of a row. */
const DELTA_THREADS = 64;
const DELTA_LANES = 8;

/** Some threads per row of attention_bwd_delta, and neighbouring loads. */
export const DELTA_LANED: Variant = {
  name: 'lanes',
  applies: () => true,
  ordered: false,
  passes: [
    {
      wgsl: lanes,
      entry: 'attention_bwd_delta',
      grid: ({ tokens, heads }: Shape) => grid1d(ceilDiv(tokens * heads * DELTA_LANES, DELTA_THREADS)),
    },
  ],
};
