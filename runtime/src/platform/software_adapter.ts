/**
 * A WebGPU adapter that needs no GPU and no system package: SwiftShader's Vulkan driver from the npm package
 * `@sparticuz/chromium`, unpacked once into a cache folder. Node only; call before `webgpu` (Dawn) is imported.
 */
import { createReadStream, existsSync, mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { constants, homedir } from 'node:os';
import { dirname, join } from 'node:path';
import { createBrotliDecompress } from 'node:zlib';

const FILES = ['libvk_swiftshader.so', 'vk_swiftshader_icd.json', 'libvulkan.so.1'];
const RTLD_NODELETE = 0x1000; // not in os.constants.dlopen; value of glibc's <dlfcn.h>

/** The user's cache folder for eagrl. */
export const cacheFolder = (): string => join(process.env.XDG_CACHE_HOME || join(homedir(), '.cache'), 'eagrl');

/** Entries of a tar stream held in memory: name -> bytes. Plain ustar files only, which is all the archive has. */
function untar(tar: Buffer): Map<string, Buffer> {
  const files = new Map<string, Buffer>();
  for (let at = 0; at + 512 <= tar.length && tar[at] !== 0; ) {
    const name = tar.toString('latin1', at, at + 100).replace(/\0.*$/s, '');
    const size = Number.parseInt(tar.toString('latin1', at + 124, at + 136), 8);
    if (tar[at + 156] === 48 || tar[at + 156] === 0) files.set(name.replace(/^\.\//, ''), tar.subarray(at + 512, at + 512 + size));
    at += 512 + Math.ceil(size / 512) * 512;
  }
  return files;
}

async function unpack(archive: string, folder: string): Promise<void> {
  const chunks: Buffer[] = [];
  for await (const chunk of createReadStream(archive).pipe(createBrotliDecompress())) chunks.push(chunk as Buffer);
  const files = untar(Buffer.concat(chunks));
  mkdirSync(dirname(folder), { recursive: true });
  const fresh = mkdtempSync(`${folder}-`);
  for (const name of FILES) {
    const bytes = files.get(name);
    if (!bytes) throw new Error(`software adapter: ${archive} holds no ${name}; it has ${[...files.keys()].join(', ')}`);
    writeFileSync(join(fresh, name), bytes, { mode: 0o755 });
  }
  try {
    renameSync(fresh, folder); // another process may have won the race; either copy is good
  } catch (error) {
    rmSync(fresh, { recursive: true, force: true });
    if (!existsSync(join(folder, FILES[0]))) throw error;
  }
}

/**
 * Makes SwiftShader the only Vulkan driver that Dawn will see in this process, and returns the folder it lies in.
 * @throws Error when the platform is not Linux x64 or the package is missing.
 */
export async function useSoftwareAdapter(): Promise<string> {
  if (process.platform !== 'linux' || process.arch !== 'x64') {
    throw new Error(
      `webgpu-software: SwiftShader ships for linux-x64 only, this is ${process.platform}-${process.arch}; use --device wasm`,
    );
  }
  const require = createRequire(import.meta.url);
  const main = require.resolve('@sparticuz/chromium');
  let root = dirname(main);
  while (!existsSync(join(root, 'bin', 'swiftshader.tar.br'))) {
    if (dirname(root) === root) throw new Error('webgpu-software: @sparticuz/chromium has no bin/swiftshader.tar.br; reinstall it');
    root = dirname(root);
  }
  const { version } = require(join(root, 'package.json')) as { version: string };
  const folder = join(cacheFolder(), `swiftshader-${version}`);
  if (!FILES.every((f) => existsSync(join(folder, f)))) await unpack(join(root, 'bin', 'swiftshader.tar.br'), folder);
  process.env.VK_DRIVER_FILES = join(folder, 'vk_swiftshader_icd.json');
  preloadVulkanLoader(join(folder, 'libvulkan.so.1'));
  return folder;
}

/**
 * Dawn opens `libvulkan.so.1` by name. Loading the archive's copy first puts that name into the process, so a system without
 * the loader works too. `process.dlopen` complains that the library is no Node add-on, after it is loaded; NODELETE keeps it.
 */
function preloadVulkanLoader(path: string): void {
  const { RTLD_NOW, RTLD_GLOBAL } = constants.dlopen as { RTLD_NOW: number; RTLD_GLOBAL: number };
  try {
    process.dlopen({ exports: {} } as NodeModule, path, RTLD_NOW | RTLD_GLOBAL | RTLD_NODELETE);
  } catch (error) {
    if (!/self-register/.test(String(error))) throw error;
  }
}
