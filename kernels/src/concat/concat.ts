import { ceilDiv, f32, grid1d, type KernelSpec } from '../common/spec.ts';
import wasm from '../gen/concat.wasm.ts';
import wgsl from '../gen/concat.wgsl.ts';
import * as ref from './concat.ref.ts';

interface Shape {
  na: number;
  nb: number;
}
const shared = {
  params: { na: 'u32', nb: 'u32' },
  grid: ({ na, nb }: Shape) => grid1d(ceilDiv(na + nb, 64)),
  // BLOCK elements per work item: concat.as.ts.
  work: ({ na, nb }: Shape) => ceilDiv(na + nb, 4096),
  flops: () => 0,
  bytes: ({ na, nb }: Shape) => 8 * (na + nb),
} as const;

/** y = a then b, and back. */
export const concat = {
  name: 'concat',
  wgsl,
  wasm,
  ref,
  entries: {
    concat: {
      ...shared,
      bindings: [f32('y', 'write'), f32('a'), f32('b')],
      size: ({ na, nb }: Shape) => ({ y: na + nb, a: na, b: nb }),
    },
    split: {
      ...shared,
      bindings: [f32('da', 'write'), f32('db', 'write'), f32('dy')],
      size: ({ na, nb }: Shape) => ({ da: na, db: nb, dy: na + nb }),
    },
  },
} satisfies KernelSpec;
