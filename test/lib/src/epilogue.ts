import {
  applicable,
  EPILOGUE,
  elementwise,
  type HostBuffers,
  type KernelSpec,
  launchWasm,
  launchWebgpu,
  type Params,
  swiglu,
} from '@eagrl/kernels';
import { expect, test } from 'vitest';
import type { KernelCase } from './kernel_cases.ts';
import { Random } from './random.ts';
import { testDevice, testFacts } from './webgpu.ts';

/** What an epilogue stands for. */
const SEPARATE = {
  residual: { spec: elementwise, entry: 'add', inputs: (aux: HostBuffers[string], c: HostBuffers[string]) => ({ a: aux, b: c }) },
  swiglu: { spec: swiglu, entry: 'swiglu_fwd', inputs: (aux: HostBuffers[string], c: HostBuffers[string]) => ({ gate: aux, up: c }) },
} as const;

type Launch = (spec: KernelSpec, entry: string, inputs: HostBuffers, params: Params) => Promise<HostBuffers>;

/**
 * A product with an epilogue gives the bits of the product and then the kernel that the epilogue stands for, on every backend, by every variant
 * that applies (and is `shown`). c of the cases has no gaps; their inputs are asked for with the epilogue set.
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
      test(`${entry} webgpu ${epilogue}: bits of the separate kernel, every variant, ${c.title}`, async () => {
        const device = await testDevice();
        for (const variant of applicable(spec.entries[entry], params, await testFacts()).filter(shown)) {
          await check(
            variant,
            (...args) => launchWebgpu(device, ...args, variant),
            (...args) => launchWebgpu(device, ...args),
          );
        }
      });
    }
  }
}

const bitsOf = (a: HostBuffers[string]) => new Uint32Array(a.buffer, a.byteOffset, a.length);
