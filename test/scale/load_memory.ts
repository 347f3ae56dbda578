/**
 * Host memory of a load of half a billion weights on WebGPU: at most 1.2 times the largest tensor of the files and 300 MB, the device's memory
 * apart (test/invariant/load_growth.ts says how). FOLDER as in half_billion.ts. Linux only; on a software adapter it takes 4 GB as f32.
 *
 *     node --conditions=@eagrl/source --import ./test/e2e/typescript_loader.mjs \
 *       test/scale/load_memory.ts FOLDER [webgpu | webgpu-software] [f32 | f16 | int8 | int4]
 */
import { type DeviceName, openDevice, showBytes, WEIGHT_TYPES } from '@eagrl/runtime';
import { loadGrowth } from '../invariant/load_growth.ts';
import { CONFIG, LORA, writeHalfBillion } from './qwen_half_billion.ts';

const [folder, device = 'webgpu-software', dtypeName = 'f16'] = process.argv.slice(2);
const dtype = WEIGHT_TYPES.find((t) => t === dtypeName);
if (!folder || !dtype) throw new Error('usage: see the head of this file');
await writeHalfBillion(folder);
const backend = await openDevice({ device: device as DeviceName });
const started = performance.now();
const { growth, largest, files } = await loadGrowth(backend, folder, CONFIG, LORA, dtype);
const bound = 1.2 * largest + 300e6;
console.log(
  `${dtype} on ${backend.info.adapter}: ${showBytes(files)} of files in ${((performance.now() - started) / 1000).toFixed(0)} s; ` +
    `${showBytes(growth)} of the host at the peak; 1.2 x ${showBytes(largest)} + 300 MB = ${showBytes(bound)}`,
);
await backend.destroy();
process.exit(growth <= bound ? 0 : 1);
