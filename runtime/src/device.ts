/** Opens the device that a run asked for: never another one in its place. */

import { isSoftware } from './backend/adapter.ts';
import { ReferenceBackend } from './backend/reference.ts';
import { WasmBackend } from './backend/wasm.ts';
import { WebgpuBackend } from './backend/webgpu.ts';
import type { Backend } from './backend.ts';
import { readSwitches, reportDevice, type Switches } from './debug.ts';
import { DeviceError } from './errors.ts';
import { loadPlatform, type Platform } from './platform/platform.ts';

export const DEVICES = ['auto', 'webgpu', 'wasm', 'webgpu-software', 'reference'] as const;
export type DeviceName = (typeof DEVICES)[number];

export interface DeviceOptions {
  /** `auto`: a hardware WebGPU adapter if there is one, else wasm. Default `auto`. */
  readonly device?: DeviceName;
  /** wasm: threads that compute, the calling one included. Default: all cores. */
  readonly threads?: number;
}

/**
 * Opens a device; close it with `destroy()`.
 * @throws DeviceError when the named device does not exist here, with what is missing and what to do.
 */
export async function openDevice({ device = 'auto', threads }: DeviceOptions = {}): Promise<Backend> {
  if (!DEVICES.includes(device)) throw new DeviceError(`device '${device}' does not exist; use one of ${DEVICES.join(', ')}`);
  if (threads !== undefined && !(Number.isInteger(threads) && threads >= 1 && threads <= 256)) {
    throw new DeviceError(`threads: expected a whole number from 1 to 256, got ${threads}`);
  }
  const backend = await open(device, threads);
  if (readSwitches().debug >= 1) reportDevice(backend.info);
  return backend;
}

async function open(device: DeviceName, threads: number | undefined): Promise<Backend> {
  const switches = readSwitches();
  if (device === 'reference') return new ReferenceBackend(switches.debug);
  const platform = await loadPlatform();
  if (device === 'wasm') return WasmBackend.open(platform, threads ?? platform.parallelism, switches);
  const adapter = await findAdapter(platform, device, switches);
  if (!adapter) return WasmBackend.open(platform, threads ?? platform.parallelism, switches);
  return WebgpuBackend.open(adapter, switches);
}

/** The adapter to use; undefined only for `auto` without a hardware one. */
async function findAdapter(platform: Platform, device: DeviceName, switches: Switches): Promise<GPUAdapter | undefined> {
  let adapter: GPUAdapter | null;
  try {
    const gpu = await platform.webgpu(device === 'webgpu-software', switches.subgroupMatrix);
    adapter = await gpu.requestAdapter({ powerPreference: 'high-performance' });
  } catch (error) {
    if (device === 'auto') return undefined;
    throw new DeviceError(`${device}: ${(error as Error).message}`);
  }
  if (device === 'auto') return adapter && !isSoftware(adapter.info) ? adapter : undefined;
  if (!adapter)
    throw new DeviceError(`${device}: no WebGPU adapter found; install a GPU driver (Vulkan, Metal or D3D12), or use --device wasm`);
  return adapter;
}
