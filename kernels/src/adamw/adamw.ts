import { ceilDiv, f32, grid1d, type KernelSpec, type Variant } from '../common/spec.ts';
import held from '../gen/adamw.held.wgsl.ts';
import wasm from '../gen/adamw.wasm.ts';
import wgsl from '../gen/adamw.wgsl.ts';
import wide from '../gen/adamw.wide.wgsl.ts';
import * as ref from './adamw.ref.ts';

interface Flat {
  n: number;
}
interface Partials {
  count: number;
}

/** Elements of grad per entry of `partials`, elements per entry of `decay`, threads per workgroup of the update and of the sums. */
const CHUNK = 4096;
const DECAY_BLOCK = 64;
const WG = 256;
const SUM_WG = 64;

/** For adapters that compute on the CPU: no lanes of chunks, so no barrier. */
const THREAD_PER_CHUNK: Variant = {
  name: 'thread_per_chunk',
  applies: ({ n }: Flat) => n % 16 === 0,
  ordered: false,
  passes: [{ wgsl: wide, entry: 'grad_norm_partial', grid: ({ n }: Flat) => grid1d(ceilDiv(n, CHUNK * SUM_WG)) }],
};

/** Several elements per thread, each as the entry's own WGSL computes it; not measured against it, as no random numbers are moments. */
const several = (name: string, entry: string, count: number): Variant => ({
  name,
  applies: ({ n }: Flat) => n % count === 0,
  ordered: true,
  alone: true,
  passes: [{ wgsl: wide, entry, grid: ({ n }: Flat) => grid1d(ceilDiv(n, count * WG)) }],
});

/** For hardware: a workgroup of 256 threads holds a chunk in registers. */
const HELD: Variant = {
  name: 'held',
  applies: ({ n }: Flat) => n % 4 === 0,
  ordered: false,
  passes: [
    { wgsl: held, entry: 'grad_norm_partial', constants: { WG: 256, lanes: 256 }, grid: ({ n }: Flat) => grid1d(ceilDiv(n, CHUNK)) },
  ],
};

/** For hardware: one workgroup, 32 partial sums to a thread at a time. */
const STRIPS: Variant = {
  name: 'strips',
  applies: () => true,
  ordered: false,
  passes: [{ wgsl: held, entry: 'grad_norm_finish', constants: { WG: 256, lanes: 256 }, grid: () => [1, 1, 1] }],
};

const VEC4 = several('vec4', 'adamw', 4);
/** For adapters that compute on the CPU, which pay for loads by the instruction and for each thread. */
const MATRIX = several('matrix', 'adamw16', 16);

/**
 * AdamW with clipping by global norm over one flat list of n parameters; the norm never leaves the device.
 * grad_norm_partial: partials (ceil(n / 4096)). grad_norm_finish: norm (2) = [norm, clip coefficient].
 * adamw: param, m, v (n) in place; decay (ceil(n / 64)) scales the weight decay. A norm that is not finite skips the step.
 * Pass betas as f32 holds them (Math.fround) to the bias corrections too, so that both sides of m / bias_correction1 agree.
 */
export const adamw = {
  name: 'adamw',
  wgsl,
  wasm,
  ref,
  entries: {
    grad_norm_partial: {
      bindings: [f32('partials', 'write'), f32('grad')],
      params: { n: 'u32' },
      size: ({ n }: Flat) => ({ partials: ceilDiv(n, CHUNK), grad: n }),
      variants: [THREAD_PER_CHUNK, HELD],
      rules: ({ software }) => [{ variant: (software ? THREAD_PER_CHUNK : HELD).name, when: () => true }],
      shape: ({ n }: Flat) => `${n}`,
      grid: ({ n }: Flat) => grid1d(ceilDiv(n, CHUNK)),
      work: ({ n }: Flat) => ceilDiv(n, CHUNK),
      flops: ({ n }: Flat) => 2 * n,
      bytes: ({ n }: Flat) => 4 * n + 4 * ceilDiv(n, CHUNK),
    },
    grad_norm_finish: {
      bindings: [f32('norm', 'write'), f32('partials')],
      params: { count: 'u32', max_norm: 'f32' },
      size: ({ count }: Partials) => ({ norm: 2, partials: count }),
      variants: [STRIPS],
      rules: ({ software }) => (software ? [] : [{ variant: STRIPS.name, when: () => true }]),
      shape: ({ count }: Partials) => `${count}`,
      grid: () => [1, 1, 1],
      work: () => 1,
      flops: ({ count }: Partials) => count + 4,
      bytes: ({ count }: Partials) => 4 * count + 8,
    },
    adamw: {
      bindings: [f32('param', 'read_write'), f32('m', 'read_write'), f32('v', 'read_write'), f32('grad'), f32('decay'), f32('norm')],
      params: {
        n: 'u32',
        lr: 'f32',
        beta1: 'f32',
        beta2: 'f32',
        eps: 'f32',
        weight_decay: 'f32',
        bias_correction1: 'f32',
        bias_correction2: 'f32',
      },
      variants: [VEC4, MATRIX],
      rules: ({ software }) => (software ? [MATRIX, VEC4] : [VEC4]).map(({ name }) => ({ variant: name, when: () => true })),
      shape: ({ n }: Flat) => `${n}`,
      size: ({ n }: Flat) => ({ param: n, m: n, v: n, grad: n, decay: ceilDiv(n, DECAY_BLOCK), norm: 2 }),
      grid: ({ n }: Flat) => grid1d(ceilDiv(n, WG)),
      work: ({ n }: Flat) => ceilDiv(n, DECAY_BLOCK),
      flops: ({ n }: Flat) => 16 * n,
      bytes: ({ n }: Flat) => 28 * n + 4 * ceilDiv(n, DECAY_BLOCK) + 8,
    },
  },
} satisfies KernelSpec;
