import { perElement } from '../common/per_element.ts';
import { f32, type KernelSpec } from '../common/spec.ts';
import wasm from '../gen/bce.wasm.ts';
import wgsl from '../gen/bce.wgsl.ts';
import * as ref from './bce.ref.ts';

/** Elements per workgroup, and per work item: bce.wgsl, bce.as.ts. */
const sizes = { group: 64, block: 1 } as const;

/** Weighted binary cross-entropy from logits: losses, their gradient and the probabilities, all (n). */
export const bce = {
  name: 'bce',
  wgsl,
  wasm,
  ref,
  entries: {
    bce_logits: perElement(
      [f32('losses', 'write'), f32('dlogits', 'write'), f32('probabilities', 'write'), f32('logits'), f32('labels'), f32('weights')],
      { flops: 12, ...sizes },
    ),
  },
} satisfies KernelSpec;
