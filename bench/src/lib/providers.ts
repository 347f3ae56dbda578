/** Who computes: the runtime's backends. */
import { type Backend, openDevice } from '@eagrl/runtime';

export const BENCH_DEVICES = ['wasm', 'webgpu-software', 'webgpu'] as const;
export type BenchDevice = (typeof BENCH_DEVICES)[number];

export interface Provider {
  /** End of a row's name: wasm-1 (one thread), wasm-2, wasm (all cores), webgpu. */
  readonly name: string;
  readonly backend: Backend;
}

/** Thread counts below all `cores` to measure as well: one, and with `every` each power of two. */
export function threadCounts(cores: number, every: boolean): number[] {
  const counts: number[] = [];
  for (let n = 1; n < cores && (every || n === 1); n *= 2) counts.push(n);
  return counts;
}

/**
 * One provider per device, and for wasm one per thread count.
 * @throws DeviceError when a device does not exist here.
 */
export async function openProviders(devices: readonly BenchDevice[], everyThreadCount: boolean): Promise<Provider[]> {
  const providers: Provider[] = [];
  for (const device of devices) {
    const backend = await openDevice({ device });
    if (device === 'wasm') {
      for (const threads of threadCounts(backend.info.threads, everyThreadCount)) {
        providers.push({ name: `wasm-${threads}`, backend: await openDevice({ device, threads }) });
      }
    }
    providers.push({ name: backend.kind, backend });
  }
  return providers;
}
