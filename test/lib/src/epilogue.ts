import {
  DEFAULT_VARIANT,
  EPILOGUE,
  elementwise,
  entryOf,
  type HostBuffers,
  type KernelSpec,
  launchWasm,
  launchWebgpu,
  type Params,
  swiglu,
  variantOf,
} from '@eagrl/kernels';
import { expect, test } from 'vitest';
import type { KernelCase } from './kernel_cases.ts';
import { Random } from './random.ts';
import { variantDevice } from './webgpu.ts';

/** What an epilogue stands for. */
const SEPARATE = {
  residual: { spec: elementwise, entry: 'add', inputs: (aux: HostBuffers[string], c: HostBuffers[string]) => ({ a: aux, b: c }) },
  swiglu: { spec: swiglu, entry: 'swiglu_fwd', inputs: (aux: HostBuffers[string], c: HostBuffers[string]) => ({ gate: aux, up: c }) },
} as const;

type Launch = (spec: KernelSpec, entry: string, inputs: HostBuffers, params: Params) => Promise<HostBuffers>;

/**
 * A product with an epilogue gives the bits of the product and then the kernel that the epilogue stands for, on every backend, by every variant
 * that applies and is `shown`, a test each. c of the cases has no gaps; their inputs are asked for with the epilogue set.
 */
export function testEpilogues(
  spec: KernelSpec,
  entry: string,
  cases: readonly Omit<KernelCase, 'tolerance'>[],
  shown: (variant: string) => boolean = () => true,
): void {
  for (const epilogue of ['residual', 'swiglu'] as const) {
    const { spec: after, entry: afterEntry, inputs: afterInputs } = SEPARATE[epilogue];
    for (const c of cases) {
      const params = { ...c.params, epilogue: EPILOGUE[epilogue] };
      const check = async (label: string, product: Launch, other: Launch) => {
        const inputs = c.inputs(new Random(`${entry} ${epilogue} ${c.title}`), params);
        const fused = await product(spec, entry, inputs, params);
        const { c: plain } = await product(spec, entry, inputs, { ...params, epilogue: EPILOGUE.none });
        const separate = await other(after, afterEntry, afterInputs(inputs.aux, plain), { n: plain.length });
        expect(bitsOf(fused.c), label).toEqual(bitsOf(separate.y));
      };
      for (const relaxed of [false, true]) {
        const backend = relaxed ? 'wasm-relaxed' : 'wasm';
        test(`${entry} ${backend} ${epilogue}: bits of the separate kernel, ${c.title}`, async () => {
          const launch: Launch = async (...args) => launchWasm(...args, { relaxed });
          await check(backend, launch, launch);
        });
      }
      for (const name of [DEFAULT_VARIANT, ...(entryOf(spec, entry).variants ?? []).map((v) => v.name)].filter(shown)) {
        const variant = variantOf(spec, entry, name);
        if (!variant.applies(params)) continue;
        test(`${entry} webgpu ${name} ${epilogue}: bits of the separate kernel, ${c.title}`, async ({ skip }) => {
          const device = await variantDevice(variant, skip);
          await check(
            name,
            (...args) => launchWebgpu(device, ...args, name),
            (...args) => launchWebgpu(device, ...args),
          );
        });
      }
    }
  }
}

const bitsOf = (a: HostBuffers[string]) => new Uint32Array(a.buffer, a.byteOffset, a.length);
