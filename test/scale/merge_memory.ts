/**
 * merge-lora on half a billion weights: a random adapter of rank 16 on all seven projections, added to FOLDER (as in half_billion.ts) in
 * FOLDER-merged. The process holds a few blocks of rows at a time; rows of the result against f64 on the host, rounded to bf16.
 *
 *     node --conditions=@eagrl/source --import ./test/e2e/typescript_loader.mjs test/scale/merge_memory.ts FOLDER [device]
 */
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import {
  adapterConfig,
  type DeviceName,
  loraNames,
  loraParams,
  type StoredTensor,
  showBytes,
  sizeOf,
  transformerParams,
  writeSafetensors,
} from '@eagrl/runtime';
import { Random } from '@eagrl/testing';
import { withSafetensors, withWeights } from '../../trainer/src/run/weights.ts';
import { mergeLora } from '../../trainer/src/stages/merge.ts';
import { CONFIG, LORA, writeHalfBillion } from './qwen_half_billion.ts';

const [model, device = 'wasm'] = process.argv.slice(2);
if (!model) throw new Error('usage: see the head of this file');
await writeHalfBillion(model);
const [adapter, out] = [`${model}-adapter`, `${model}-merged`];
mkdirSync(adapter, { recursive: true });
rmSync(out, { recursive: true, force: true });
const random = new Random('adapter');
const tensors = loraParams(transformerParams(CONFIG), LORA).map(({ name, shape }) => ({
  name,
  shape,
  data: random.normals(sizeOf(shape), 0.02),
}));
writeFileSync(join(adapter, 'adapter_model.safetensors'), writeSafetensors(tensors, { format: 'pt' }));
writeFileSync(join(adapter, 'adapter_config.json'), JSON.stringify(adapterConfig(LORA, model)));

const rss = () => process.resourceUsage().maxRSS * 1024;
const idle = rss();
const started = performance.now();
const lines = await mergeLora({ adapter, model, out, device: device as DeviceName });
const seconds = ((performance.now() - started) / 1000).toFixed(0);
console.log(`${lines.join('\n')}\n${seconds} s on ${device}; process ${showBytes(idle)} before, ${showBytes(rss())} at its peak`);

const path = 'model.layers.17.mlp.down_proj';
const ROWS = [0, 300, 895];
const width = CONFIG.intermediate_size;
const rowOf = (folder: string, row: number) =>
  withWeights(folder, (all) => (all.get(`${path}.weight`) as StoredTensor).read(row * width, (row + 1) * width));
const [a, b] = withSafetensors(join(adapter, 'adapter_model.safetensors'), (file) =>
  Object.values(loraNames(path)).map((name) => (file.tensors.get(name) as StoredTensor).read()),
);
let worst = 0;
for (const row of ROWS) {
  const [before, after] = [rowOf(model, row), rowOf(out, row)];
  for (let i = 0; i < width; i++) {
    let delta = 0;
    for (let k = 0; k < LORA.r; k++) delta += b[row * LORA.r + k] * a[k * width + i];
    const want = before[i] + (LORA.alpha / LORA.r) * delta;
    worst = Math.max(worst, Math.abs(after[i] - want) / Math.max(Math.abs(want), 1e-4));
  }
}
console.log(`rows ${ROWS.join(', ')} of ${path}: off by ${worst.toExponential(1)} at most; bf16 rounds by ${(2 ** -8).toExponential(1)}`);
process.exit(worst <= 1.01 * 2 ** -8 ? 0 : 1);
