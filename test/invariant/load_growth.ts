/** What a load takes of the host's memory, told apart from what the model takes of the device's. Linux only. */
import { readFileSync, writeFileSync } from 'node:fs';
import { elementwise } from '@eagrl/kernels';
import {
  type Backend,
  Context,
  type DeviceBuffer,
  type LoraConfig,
  loadWeights,
  storedBytes,
  Transformer,
  type TransformerConfig,
  type WeightType,
} from '@eagrl/runtime';
import { withWeights } from '../../trainer/src/run/weights.ts';

/** A line of /proc/self/status, bytes: VmRSS is what is resident, VmHWM the most since the last reset. */
const memory = (line: 'VmRSS' | 'VmHWM'): number =>
  1024 * Number(new RegExp(`^${line}:\\s*(\\d+) kB`, 'm').exec(readFileSync('/proc/self/status', 'utf8'))?.[1]);

const resetPeak = (): void => writeFileSync('/proc/self/clear_refs', '5');

export interface Growth {
  /** Resident bytes at the peak of the load, less those before it. */
  readonly growth: number;
  /** Bytes of the largest tensor in the files. */
  readonly largest: number;
  /** Bytes of all tensors in the files. */
  readonly files: number;
}

/**
 * Loads `folder` and measures. The buffers of a software adapter are memory of this process: a kernel fills the model's before the load,
 * so that they are resident by then, and what is added later is the loader's, the driver's and the garbage collector's.
 */
export async function loadGrowth(
  backend: Backend,
  folder: string,
  config: TransformerConfig,
  lora: LoraConfig | undefined,
  dtype: WeightType,
): Promise<Growth> {
  const ctx = new Context(backend);
  const buffers: DeviceBuffer[] = [];
  const alloc = backend.alloc;
  backend.alloc = (length) => {
    const buffer = alloc.call(backend, length);
    buffers.push(buffer);
    return buffer;
  };
  const model = new Transformer(ctx, config, lora, dtype);
  backend.alloc = alloc;
  for (const buffer of buffers) {
    const { length } = buffer;
    ctx.run(elementwise, 'fill', [{ slice: { buffer, offset: 0, length }, shape: [length], dtype: 'f32' }], { n: length, value: 0 });
  }
  await backend.sync();
  const sizes = withWeights(folder, (tensors) => [...tensors.values()].map(storedBytes));
  const before = memory('VmRSS');
  resetPeak();
  withWeights(folder, (tensors) => loadWeights(model, tensors));
  await backend.sync();
  const growth = memory('VmHWM') - before;
  model.destroy();
  return { growth, largest: Math.max(...sizes), files: sizes.reduce((a, b) => a + b, 0) };
}
