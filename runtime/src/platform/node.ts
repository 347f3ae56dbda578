/** Node's side of the platform: worker_threads, Dawn from the `webgpu` package, files. */
import { mkdir, readFile, rename, writeFile } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { setFlagsFromString } from 'node:v8';
import { Worker } from 'node:worker_threads';
import { dawnFlags } from './dawn.ts';
import type { Platform, PoolWorker, WorkerInit } from './platform.ts';
import { cacheFolder, useSoftwareAdapter } from './software_adapter.ts';

export { dawnFlags, useSoftwareAdapter };

function startWorker(init: WorkerInit, onDeath: (reason: string) => void): Promise<PoolWorker> {
  return new Promise((resolve, reject) => {
    const worker = new Worker(new URL('./node_worker.mjs', import.meta.url), { workerData: init });
    let told = false;
    const terminate = async () => {
      told = true;
      await worker.terminate();
    };
    worker.once('message', () => {
      worker.unref(); // an idle pool does not keep the process alive
      resolve({ terminate });
    });
    worker.once('error', (error) => {
      reject(error);
      onDeath(error.message);
    });
    worker.once('exit', (code) => {
      if (told) return;
      const reason = `worker thread ended with code ${code}`;
      reject(new Error(reason)); // where it never served
      onDeath(reason);
    });
  });
}

// Dawn's instance must outlive every object it made: collecting it crashes the process. One per set of drivers and features, for good.
const instances = new Map<string, Promise<GPU>>();
/** The last of them to be made: they are made one at a time, as each sees the process's driver list as set for it. */
let latest: Promise<unknown> = Promise.resolve();

function webgpu(software: boolean, experimental: boolean): Promise<GPU> {
  const key = `${software} ${experimental}`;
  let instance = instances.get(key);
  if (!instance) {
    instance = latest.then(() => makeInstance(software, experimental));
    instances.set(key, instance);
    latest = instance.catch(() => instances.delete(key)); // the next call tries again
  }
  return instance;
}

async function makeInstance(software: boolean, experimental: boolean): Promise<GPU> {
  const drivers = process.env.VK_DRIVER_FILES;
  try {
    if (software) await useSoftwareAdapter();
    else checkVulkanLoader();
    const { create, globals } = await import('webgpu');
    Object.assign(globalThis, globals);
    const gpu = create(dawnFlags(experimental));
    await gpu.requestAdapter(); // the instance reads the driver list now, so the list can go back to what the user set
    return gpu;
  } finally {
    if (drivers === undefined) delete process.env.VK_DRIVER_FILES;
    else process.env.VK_DRIVER_FILES = drivers;
  }
}

/** On Linux Dawn prints a warning and finds nothing when the Vulkan loader is missing; this says it better and first. */
function checkVulkanLoader(): void {
  if (process.platform !== 'linux') return;
  try {
    process.dlopen({ exports: {} } as NodeModule, 'libvulkan.so.1');
  } catch (error) {
    // A library that is there but no Node add-on "did not self-register".
    if (/self-register/.test(String(error))) return;
    throw new Error('no Vulkan loader (libvulkan.so.1); install your GPU driver and the package libvulkan1, or use --device wasm');
  }
}

async function readCache(name: string): Promise<string | undefined> {
  try {
    return await readFile(join(cacheFolder(), name), 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}

async function writeCache(name: string, text: string): Promise<string> {
  const path = join(cacheFolder(), name);
  await mkdir(cacheFolder(), { recursive: true });
  await writeFile(`${path}.${process.pid}`, text);
  await rename(`${path}.${process.pid}`, path);
  return path;
}

export const platform: Platform = {
  parallelism: availableParallelism(),
  canBlock: true,
  // Node 20 has relaxed SIMD behind this flag; engines that ship it know it no more and ignore it.
  enableRelaxedSimd: () => setFlagsFromString('--experimental-wasm-relaxed-simd'),
  startWorker,
  webgpu,
  writeText: (path, text) => writeFile(path, text),
  readCache,
  writeCache,
};
