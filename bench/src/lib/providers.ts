/** Who computes: the runtime's backends. */
import { type Backend, openDevice } from '@eagrl/runtime';

export const BENCH_DEVICES = ['wasm', 'webgpu-software', 'webgpu'] as const;
export type BenchDevice = (typeof BENCH_DEVICES)[number];

export interface Provider {
  /** End of a row's name: wasm-1 (one thread), wasm (all cores), webgpu. */
  readonly name: string;
  readonly backend: Backend;
}

/** @throws DeviceError when a device does not exist here. */
export async function openProviders(devices: readonly BenchDevice[]): Promise<Provider[]> {
  const providers: Provider[] = [];
  for (const device of devices) {
    const backend = await openDevice({ device });
    if (backend.info.threads > 1) providers.push({ name: 'wasm-1', backend: await openDevice({ device, threads: 1 }) });
    providers.push({ name: backend.kind, backend });
  }
  return providers;
}
