/**
 * What the machine can do at best, measured in the same run and through the same launches as the kernels: the bandwidth of a copy
 * and the rate of multiply-adds that stay in registers. A kernel's floor is the longer of moving its bytes and doing its flops so.
 */
import { ceilDiv, grid1d, type KernelEntry, type KernelSpec } from '@eagrl/kernels';
import wasm from '../gen/floor.wasm.ts';
import wgsl from '../gen/floor.wgsl.ts';
import type { BenchCase } from '../lib/case.ts';

/** Threads of a workgroup that copies, and of others; accumulators of floor_fma; bytes per WebAssembly work item of floor_copy: floor.wgsl, floor.as.ts. */
const COPY_WG = 256;
const WG = 64;
const CHAINS = 12;
const COPY_BLOCK = 16_384;

type Buffers = Record<string, Float64Array>;
interface Copy {
  n: number;
}
interface Fma {
  items: number;
  iters: number;
  a: number;
  b: number;
}

/** A copy with `lanes` elements per thread on WebGPU; on WebAssembly they are all the same. */
const copyEntry = (lanes: number): KernelEntry => ({
  bindings: [
    { name: 'y', dtype: 'f32', access: 'write' },
    { name: 'x', dtype: 'f32', access: 'read' },
  ],
  params: { n: 'u32' },
  size: ({ n }: Copy) => ({ y: n, x: n }),
  grid: ({ n }: Copy) => grid1d(ceilDiv(n, COPY_WG * lanes)),
  phases: [{ export: 'floor_copy', work: ({ n }: Copy) => (4 * n) / COPY_BLOCK }],
  flops: () => 0,
  bytes: ({ n }: Copy) => 8 * n,
});

const copyRef = ({ y, x }: Buffers) => y.set(x);

const fmaEntry: KernelEntry = {
  bindings: [{ name: 'y', dtype: 'f32', access: 'write' }],
  params: { items: 'u32', iters: 'u32', a: 'f32', b: 'f32' },
  size: ({ items }: Fma) => ({ y: 4 * items }),
  grid: ({ items }: Fma) => grid1d(ceilDiv(items, WG)),
  phases: [{ export: 'floor_fma', work: ({ items }: Fma) => items }],
  flops: ({ items, iters }: Fma) => items * iters * CHAINS * 8,
  bytes: ({ items }: Fma) => 16 * items,
};

const fmaRef = ({ y }: Buffers, { iters, a, b }: Fma) => {
  let sum = 0;
  for (let k = 1; k <= CHAINS; k++) {
    let acc = k;
    for (let i = 0; i < iters; i++) acc = acc * a + b;
    sum += acc;
  }
  y.fill(sum);
};

const floor: KernelSpec = {
  name: 'floor',
  wgsl,
  wasm,
  ref: {
    floor_copy: copyRef,
    floor_copy_wide: copyRef,
    floor_fma: fmaRef,
    floor_fma_scalar: fmaRef,
  },
  entries: {
    floor_copy: copyEntry(4),
    floor_copy_wide: copyEntry(16),
    floor_fma: fmaEntry,
    floor_fma_scalar: { ...fmaEntry, flops: ({ items, iters }: Fma) => items * iters * CHAINS * 2 },
  },
};

/** Bytes that a copy moves, reads and writes together: from within a core's first cache to beyond most shared ones. */
const COPY_BYTES = [32 << 10, 256 << 10, 2 << 20, 16 << 20, 64 << 20, 256 << 20];

const copyCase = (entry: string, bytes: number): BenchCase => ({
  spec: floor,
  entry,
  shape: `${bytes}B`,
  params: { n: bytes / 8 },
  inputs: (d) => ({ x: d.uniforms(bytes / 8) }),
});

/** Copies of the same bytes: what every backend runs, and another form that WebGPU tries as well. */
const copyPair = (bytes: number) => ({ bytes, plain: copyCase('floor_copy', bytes), wide: copyCase('floor_copy_wide', bytes) });

export const copyCases = COPY_BYTES.map(copyPair);

/**
 * The copy whose two buffers take the memory of the case, for that decides which cache holds it; to the nearest work item, and at most the largest
 * of `copyCases`, which no cache holds: its buffers fit every adapter's bindings (128 MiB).
 */
export function copyLike(c: BenchCase) {
  const item = 2 * COPY_BLOCK;
  return copyPair(Math.min(Math.max(1, Math.round(heldBytes(c) / item)) * item, COPY_BYTES[COPY_BYTES.length - 1]));
}

/** Bytes of memory that a case's bindings take. */
export function heldBytes({ spec, entry: name, params }: BenchCase): number {
  const entry = spec.entries[name];
  const need = entry.size(params);
  return entry.bindings.reduce((sum, b) => sum + 4 * need[b.name], 0);
}

const fmaCase = (entry: string, items: number, iters: number): BenchCase => ({
  spec: floor,
  entry,
  shape: `${items}x${iters}`,
  params: { items, iters, a: 0.5, b: 1 },
  inputs: () => ({}),
});

/** `more` times as many threads, each `longer` times as long. What every backend runs, and what WebGPU tries as well. */
const fmaPair = (more: number, longer: number) => ({
  plain: fmaCase('floor_fma', 16_384 * more, 128 * longer),
  scalar: fmaCase('floor_fma_scalar', 65_536 * more, 128 * longer),
});

/**
 * 0.2 GFLOP, which one core does in some milliseconds; then, for what does that in less than SHORT_MS, 3.2 and 52. A GPU of 50 TFLOP/s would be
 * done with the first in 4 us, less than a launch costs, and has more threads than the first gives it.
 */
export const fmaSteps = [fmaPair(1, 1), fmaPair(16, 1), fmaPair(16, 16)] as const;
export const [fmaCases] = fmaSteps;
export const SHORT_MS = 1;

export interface Floor {
  /** Ascending in bytes; each the faster of its copies. */
  readonly copies: readonly { readonly bytes: number; readonly gbps: number }[];
  readonly gflops: number;
}

/** How many launches of a probe do the work of one of the case: its bytes for a copy, its flops for multiply-adds. */
export function launchesOf(probe: BenchCase, c: BenchCase): number {
  const [of, like] = [c, probe].map(({ spec, entry, params }) => ({
    flops: spec.entries[entry].flops(params),
    bytes: spec.entries[entry].bytes(params),
  }));
  return like.flops > 0 ? of.flops / like.flops : of.bytes / like.bytes;
}

/** Milliseconds that the case's flops and bytes take at least, at the bandwidth of the copy nearest in memory used, on a log scale. */
export function floorMs({ copies, gflops }: Floor, c: BenchCase): number {
  const { [c.entry]: entry } = c.spec.entries;
  const [flops, bytes] = [entry.flops(c.params), entry.bytes(c.params)];
  const held = Math.max(heldBytes(c), 1);
  const far = (copy: { bytes: number }) => Math.abs(Math.log(copy.bytes / held));
  const { gbps } = copies.reduce((best, copy) => (far(copy) < far(best) ? copy : best));
  return Math.max(bytes / gbps, flops / gflops) / 1e6;
}
