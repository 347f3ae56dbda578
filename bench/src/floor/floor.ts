/**
 * What the machine can do at best, measured in the same run and through the same launches as the kernels: the bandwidth of a copy
 * and the rate of multiply-adds that stay in registers. A kernel's floor is the longer of moving its bytes and doing its flops so.
 */
import { ceilDiv, grid1d, type KernelEntry, type KernelSpec } from '@eagrl/kernels';
import wasm from '../gen/floor.wasm.ts';
import wgsl from '../gen/floor.wgsl.ts';
import type { BenchCase } from '../lib/case.ts';

/** Accumulators of floor_fma, and bytes per WebAssembly work item of floor_copy: floor.wgsl, floor.as.ts. */
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
  grid: ({ n }: Copy) => grid1d(ceilDiv(n, 64 * lanes)),
  phases: [{ export: 'floor_copy', work: ({ n }: Copy) => (4 * n) / COPY_BLOCK }],
  flops: () => 0,
  bytes: ({ n }: Copy) => 8 * n,
});

const copyRef = ({ y, x }: Buffers) => y.set(x);

const floor: KernelSpec = {
  name: 'floor',
  wgsl,
  wasm,
  ref: {
    floor_copy: copyRef,
    floor_copy_wide: copyRef,
    floor_fma: ({ y }: Buffers, { iters, a, b }: Fma) => {
      let sum = 0;
      for (let k = 1; k <= CHAINS; k++) {
        let acc = k;
        for (let i = 0; i < iters; i++) acc = acc * a + b;
        sum += acc;
      }
      y.fill(sum);
    },
  },
  entries: {
    floor_copy: copyEntry(4),
    floor_copy_wide: copyEntry(16),
    floor_fma: {
      bindings: [{ name: 'y', dtype: 'f32', access: 'write' }],
      params: { items: 'u32', iters: 'u32', a: 'f32', b: 'f32' },
      size: ({ items }: Fma) => ({ y: 4 * items }),
      grid: ({ items }: Fma) => grid1d(ceilDiv(items, 64)),
      work: ({ items }: Fma) => items,
      flops: ({ items, iters }: Fma) => items * iters * CHAINS * 8,
      bytes: ({ items }: Fma) => 16 * items,
    },
  },
};

/** Bytes that a copy moves, reads and writes together: from within a core's first cache to beyond most shared ones. */
const COPY_BYTES = [32 << 10, 256 << 10, 2 << 20, 16 << 20, 64 << 20];

const copyCase = (entry: string, bytes: number): BenchCase => ({
  spec: floor,
  entry,
  shape: `${bytes}B`,
  params: { n: bytes / 8 },
  inputs: (d) => ({ x: d.uniforms(bytes / 8) }),
});

/** Copies of the same bytes: what every backend runs, and another form that WebGPU tries as well. */
export const copyCases = COPY_BYTES.map((bytes) => ({ plain: copyCase('floor_copy', bytes), wide: copyCase('floor_copy_wide', bytes) }));

/** Enough threads for a large GPU; 0.2 GFLOP, which one core does in some milliseconds. */
export const fmaCase: BenchCase = {
  spec: floor,
  entry: 'floor_fma',
  shape: '16384x128',
  params: { items: 16_384, iters: 128, a: 0.5, b: 1 },
  inputs: () => ({}),
};

export interface Floor {
  /** Ascending in bytes; each the faster of its copies. */
  readonly copies: readonly { readonly bytes: number; readonly gbps: number }[];
  readonly gflops: number;
}

/** Milliseconds that the case's flops and bytes take at least, at the bandwidth of the copy nearest in memory used, on a log scale. */
export function floorMs({ copies, gflops }: Floor, { spec, entry: name, params }: BenchCase): number {
  const entry = spec.entries[name];
  const [flops, bytes] = [entry.flops(params), entry.bytes(params)];
  const need = entry.size(params);
  const held = entry.bindings.reduce((sum, b) => sum + 4 * need[b.name], 0);
  const far = (c: { bytes: number }) => Math.abs(Math.log(c.bytes / Math.max(held, 1)));
  const { gbps } = copies.reduce((best, c) => (far(c) < far(best) ? c : best));
  return Math.max(bytes / gbps, flops / gflops) / 1e6;
}
