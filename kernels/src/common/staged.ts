/** Variants on common/staged_tile.wgsl, and which of them a product takes on hardware. */
import { ceilDiv, grid1d, type Pass, type Rule, type Variant } from './spec.ts';

/** Workgroups that a GPU wants at the least; with fewer tiles they are smaller, or K is split. */
export const BUSY = 128;

export interface Product {
  m: number;
  n: number;
  k: number;
  batch?: number;
}

export const tiles =
  (rows: number, columns: number) =>
  ({ m, n, batch = 1 }: Product): number =>
    batch * ceilDiv(m, rows) * ceilDiv(n, columns);

/** Rows and columns per thread, of 8 x 8 threads; vec4 of k at a time. */
const SIZES = [
  [1, 1, 32],
  [1, 4, 16],
  [4, 4, 8],
] as const;

export const stagedVariants = ({ constants, ...pass }: Omit<Pass, 'grid'>, applies: (p: any) => boolean): readonly Variant[] =>
  SIZES.map(([tall, wide, turn]) => {
    const [rows, columns] = [8 * tall, 8 * wide];
    const count = tiles(rows, columns);
    return {
      name: `staged_${rows}x${columns}`,
      applies,
      ordered: true,
      passes: [{ ...pass, constants: { ...constants, tall, wide, turn }, grid: (s: Product) => grid1d(count(s)) }],
    };
  });

/**
 * The largest tile that is not half idle and leaves nobody idle: more outputs per thread are fewer loads for each, but a smaller grid. Undefined
 * where that is the 64 x 64 tile, which is no variant of these.
 */
function tileFor(s: Product): string | undefined {
  const least = Math.min(s.m, s.n);
  // Of few k (what a LoRA adds, k = 16) the stores decide where `tile_64x64` cannot run: staged ones fill sectors of 32 bytes, those of a ragged
  // tile quarters of four.
  if (s.k > 64 && least > 32 && tiles(64, 64)(s) >= BUSY) return undefined;
  if (least > 16 && tiles(32, 32)(s) >= BUSY) return 'staged_32x32';
  return s.n > 16 && tiles(8, 32)(s) >= BUSY ? 'staged_8x32' : 'staged_8x8';
}

export const STAGED: readonly Rule[] = SIZES.map(([tall, wide]) => {
  const variant = `staged_${8 * tall}x${8 * wide}`;
  return { variant, when: (s: Product) => tileFor(s) === variant };
});
