import {
  type HostArray,
  type HostBuffers,
  type KernelSpec,
  launchRef,
  launchWasm,
  launchWebgpu,
  type Params,
  variantOf,
} from '@eagrl/kernels';
import { expect, test } from 'vitest';
import { assertClose } from './assert_close.ts';
import { Random } from './random.ts';
import type { Tolerance } from './tolerance.ts';
import { testDevice, variantDevice } from './webgpu.ts';

export interface KernelCase {
  /** Says what is special: `rows=5 cols=123`, `all equal`, `one huge outlier`. */
  readonly title: string;
  readonly params: Params;
  /** Every `read` and `read_write` binding. A `write` binding given here starts with these values instead of poison. */
  readonly inputs: (random: Random, params: Params) => HostBuffers;
  readonly tolerance: Tolerance;
  /** Elements [from, to) that count, for outputs that are larger than what is written. */
  readonly compare?: (binding: string, params: Params) => readonly [number, number] | undefined;
}

const BACKENDS = ['wasm', 'wasm-relaxed', 'webgpu'] as const;

/**
 * One test per case and backend, against the f64 oracle: `softmax_fwd webgpu rows=5 cols=123`. Integer outputs must be equal.
 * Each launch runs twice and must give the same bits; the WebAssembly work is cut into 1 and into 3 pieces.
 */
export function testKernel(spec: KernelSpec, entry: string, cases: readonly KernelCase[]): void {
  for (const c of cases) {
    for (const backend of BACKENDS) {
      if (backend === 'wasm-relaxed' && !spec.wasm.relaxed) continue;
      test(`${entry} ${backend} ${c.title}`, async () => {
        const inputs = c.inputs(new Random(`${entry} ${c.title}`), c.params);
        const want = launchRef(spec, entry, inputs, c.params);
        const run = (pieces: number) =>
          backend === 'webgpu'
            ? testDevice().then((device) => launchWebgpu(device, spec, entry, inputs, c.params))
            : launchWasm(spec, entry, inputs, c.params, { relaxed: backend === 'wasm-relaxed', pieces });
        const got = await run(3);
        const again = await run(1);
        for (const [name, values] of Object.entries(got)) {
          const [from, to] = c.compare?.(name, c.params) ?? [0, values.length];
          const dtype = spec.entries[entry].bindings.find((b) => b.name === name)?.dtype;
          const label = `${entry}.${name}`;
          const cut = values.subarray(from, to);
          if (dtype === 'f32') assertClose(cut, want[name].subarray(from, to), { ...c.tolerance, label });
          else expect(Array.from(cut), label).toEqual(Array.from(want[name].subarray(from, to)));
          const bits = (a: typeof values) => new Uint32Array(a.buffer, a.byteOffset, a.length).subarray(from, to);
          expect(bits(again[name]), `${label}: a rerun must give the same bits`).toEqual(bits(values));
        }
      });
    }
  }
}

/**
 * The cases that a variant applies to, on WebGPU: against the f64 oracle, reruns bit-equal, and an ordered variant bit-equal to the
 * entry's own WGSL. Skipped, and listed as skipped, where the adapter lacks a feature. No case that applies is an error.
 */
export function testVariant(spec: KernelSpec, entry: string, variantName: string, cases: readonly KernelCase[]): void {
  const variant = variantOf(spec, entry, variantName);
  const suited = cases.filter((c) => variant.applies(c.params));
  if (suited.length === 0) throw new Error(`${entry}: variant '${variantName}' applies to none of ${cases.length} cases`);
  for (const c of suited) {
    test(`${entry} webgpu ${variantName} ${c.title}`, async ({ skip }) => {
      const device = await variantDevice(variant, skip);
      const inputs = c.inputs(new Random(`${entry} ${c.title}`), c.params);
      const want = launchRef(spec, entry, inputs, c.params);
      const got = await launchWebgpu(device, spec, entry, inputs, c.params, variantName);
      const again = await launchWebgpu(device, spec, entry, inputs, c.params, variantName);
      const own = variant.ordered ? await launchWebgpu(device, spec, entry, inputs, c.params) : undefined;
      for (const [name, values] of Object.entries(got)) {
        const label = `${entry}.${name}`;
        const [from, to] = c.compare?.(name, c.params) ?? [0, values.length];
        assertClose(values.subarray(from, to), want[name].subarray(from, to), { ...c.tolerance, label });
        expect(bitsOf(again[name]), `${label}: a rerun must give the same bits`).toEqual(bitsOf(values));
        if (own) expect(bitsOf(values), `${label}: an ordered variant must give the bits of the default`).toEqual(bitsOf(own[name]));
      }
    });
  }
}

const bitsOf = (a: HostArray) => new Uint32Array(a.buffer, a.byteOffset, a.length);
