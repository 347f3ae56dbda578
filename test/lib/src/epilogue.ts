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

/** The kernel that an epilogue, by its number, stands for; its bindings are y, aux and the product. */
export const SEPARATE: Readonly<Record<number, { readonly spec: KernelSpec; readonly entry: string }>> = {
  [EPILOGUE.residual]: { spec: elementwise, entry: 'add' },
  [EPILOGUE.swiglu]: { spec: swiglu, entry: 'swiglu_fwd' },
};

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
    const { spec: after, entry: afterEntry } = SEPARATE[EPILOGUE[epilogue]];
    const [, aux, c] = entryOf(after, afterEntry).bindings;
    for (const each of cases) {
      const params = { ...each.params, epilogue: EPILOGUE[epilogue] };
      const check = async (label: string, product: Launch, other: Launch) => {
        const inputs = each.inputs(new Random(`${entry} ${epilogue} ${each.title}`), params);
        const fused = await product(spec, entry, inputs, params);
        const { c: plain } = await product(spec, entry, inputs, { ...params, epilogue: EPILOGUE.none });
        const separate = await other(after, afterEntry, { [aux.name]: inputs.aux, [c.name]: plain }, { n: plain.length });
        expect(bitsOf(fused.c), label).toEqual(bitsOf(separate.y));
      };
      for (const relaxed of [false, true]) {
        const backend = relaxed ? 'wasm-relaxed' : 'wasm';
        test(`${entry} ${backend} ${epilogue}: bits of the separate kernel, ${each.title}`, async () => {
          const launch: Launch = async (...args) => launchWasm(...args, { relaxed });
          await check(backend, launch, launch);
        });
      }
      for (const name of [DEFAULT_VARIANT, ...(entryOf(spec, entry).variants ?? []).map((v) => v.name)].filter(shown)) {
        const variant = variantOf(spec, entry, name);
        if (!variant.applies(params)) continue;
        test(`${entry} webgpu ${name} ${epilogue}: bits of the separate kernel, ${each.title}`, async ({ skip }) => {
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
