/** Sizes of common/block_tile.wgsl that products take on hardware. */
import { BUSY, type Product, tiles } from './staged.ts';

export interface Block {
  readonly rows: number;
  readonly columns: number;
  /** Its overrides; vec4 of rows and of columns per thread, steps per turn. */
  readonly constants: Readonly<Record<string, number>>;
  /** End of the names of its variants. */
  readonly size: string;
}

const block = (side: number, tall: number, wide: number, turn: number): Block => ({
  rows: side,
  columns: side,
  constants: { rows: side, columns: side, tall, wide, turn },
  size: `${side}x${side}`,
});

export const BLOCKS: readonly Block[] = [block(128, 2, 2, 16), block(64, 2, 1, 32)];

/** Whether tiles of `side` x `side` are `times` as many as keep a GPU busy. */
export const busy =
  (side: number, times = 1) =>
  (s: Product): boolean =>
    tiles(side, side)(s) >= times * BUSY;

/** That, and no tile more than half idle, as few rows would leave it. */
export const filled =
  (side: number, times = 1) =>
  (s: Product): boolean =>
    2 * Math.min(s.m, s.n) > side && busy(side, times)(s);
