/** The browser's side of the platform: Web Workers and navigator.gpu. */
import type { Platform, PoolWorker, WorkerInit } from './platform.ts';

function startWorker(init: WorkerInit, onDeath: (reason: string) => void): Promise<PoolWorker> {
  return new Promise((resolve, reject) => {
    const worker = new Worker(new URL('./web_worker.mjs', import.meta.url), { type: 'module' });
    worker.onmessage = () => resolve({ terminate: async () => worker.terminate() });
    worker.onerror = (event) => {
      reject(new Error(event.message));
      onDeath(event.message);
    };
    worker.postMessage(init);
  });
}

async function webgpu(software: boolean): Promise<GPU> {
  if (software)
    throw new Error('the software adapter from npm needs Node; start the browser with its own (--use-webgpu-adapter=swiftshader)');
  if (!navigator.gpu)
    throw new Error('this browser has no navigator.gpu; use a secure context (https or localhost) and a browser with WebGPU');
  return navigator.gpu;
}

export const platform: Platform = {
  // A shared memory can be sent to workers only from a cross-origin isolated page.
  parallelism: globalThis.crossOriginIsolated ? navigator.hardwareConcurrency : 1,
  canBlock: !('document' in globalThis),
  enableRelaxedSimd: () => {},
  startWorker,
  webgpu,
  writeText: async (path) => {
    throw new Error(`EAGRL_TRACE=${path}: a browser writes no files; call backend.profile()`);
  },
  readCache: async () => undefined,
  writeCache: async (name) => {
    throw new Error(`${name}: a browser has no cache folder; keep the object, it is plain JSON`);
  },
};
