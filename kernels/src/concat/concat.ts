import { vec4ForHardware } from '../common/per_element.ts';
import { ceilDiv, f32, grid1d, type KernelSpec } from '../common/spec.ts';
import vec4 from '../gen/concat.vec4.wgsl.ts';
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

const four = (entry: string) =>
  vec4ForHardware(
    { wgsl: vec4, entry, grid: ({ na, nb }: Shape) => grid1d(ceilDiv(na + nb, 256)) },
    ({ na, nb }: Shape) => na % 4 === 0 && nb % 4 === 0,
    ({ na, nb }: Shape) => `${na}+${nb}`,
  );

/** y = a then b, and back. */
export const concat = {
  name: 'concat',
  wgsl,
  wasm,
  ref,
  entries: {
    concat: {
      ...shared,
      ...four('concat'),
      bindings: [f32('y', 'write'), f32('a'), f32('b')],
      size: ({ na, nb }: Shape) => ({ y: na + nb, a: na, b: nb }),
    },
    split: {
      ...shared,
      ...four('split'),
      bindings: [f32('da', 'write'), f32('db', 'write'), f32('dy')],
      size: ({ na, nb }: Shape) => ({ da: na, db: nb, dy: na + nb }),
    },
  },
} satisfies KernelSpec;
