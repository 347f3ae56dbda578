/** Packages under bench/peers, which npm ci does not install: loaded by name at run time, typed by what is used of them. */
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { adapterName } from '@eagrl/runtime';
import { platform } from '@eagrl/runtime/node';
import { repository } from '../lib/machine.ts';

/** Resolves from bench/peers. */
export const peerRequire = createRequire(new URL('bench/peers/package.json', repository));

/** Imports a file of a package as an ES module. @throws Error when the package is not installed. */
export const peerImport = async <T>(packageName: string, file: string): Promise<T> =>
  (await import(pathToFileURL(join(folderOf(packageName), file)).href)) as T;

/** Folder of a package, also of one whose exports hide its package.json. */
export function folderOf(packageName: string): string {
  const folders = peerRequire.resolve.paths(packageName) ?? [];
  return join(folders[0], packageName);
}

export const versionOf = (packageName: string): string =>
  (JSON.parse(readFileSync(join(folderOf(packageName), 'package.json'), 'utf8')) as { version: string }).version;

/** Gives the process the navigator.gpu that browser libraries look for, and returns the adapter's name. */
export async function provideWebgpu(software: boolean): Promise<string> {
  const gpu = await platform.webgpu(software, false);
  const adapter = await gpu.requestAdapter({ powerPreference: 'high-performance' });
  if (!adapter) throw new Error('no WebGPU adapter');
  const navigator = { gpu, userAgent: 'node', hardwareConcurrency: platform.parallelism, platform: process.platform, language: 'en' };
  Object.defineProperty(globalThis, 'navigator', { value: navigator, configurable: true });
  takeSharedMemory();
  return adapterName(adapter.info);
}

/**
 * Dawn in Node refuses to write from shared memory ("Invalid argument"), which browsers take and which the heap of threaded
 * WebAssembly is. Copies what is written. May go when Dawn's Node binding takes SharedArrayBuffer.
 */
function takeSharedMemory(): void {
  const queue = GPUQueue.prototype;
  const write = queue.writeBuffer as (this: GPUQueue, buffer: GPUBuffer, at: number, data: Uint8Array) => undefined;
  queue.writeBuffer = function (this: GPUQueue, buffer: GPUBuffer, at: number, data: AllowSharedBufferSource, from = 0, size?: number) {
    const unit = ArrayBuffer.isView(data) && 'BYTES_PER_ELEMENT' in data ? Number(data.BYTES_PER_ELEMENT) : 1;
    const [memory, start] = ArrayBuffer.isView(data) ? [data.buffer, data.byteOffset] : [data, 0];
    const bytes = size === undefined ? data.byteLength - from * unit : size * unit;
    const view = new Uint8Array(memory, start + from * unit, bytes);
    return write.call(this, buffer, at, memory instanceof ArrayBuffer ? view : view.slice());
  };
}

export { join, pathToFileURL };
