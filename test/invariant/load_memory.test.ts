/**
 * Plan: loading on WebGPU takes at most 1.2 times the largest tensor and 300 MB of the host, the device's memory apart: 100 million bf16
 * weights in shards, 400 MB as f32, whose embedding (41 MB) exceeds what is read at a time. Read whole, or queued whole by the driver,
 * they take more. Figures at half a billion: test/scale/load_memory.ts.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openDevice, parseTransformerConfig, sizeOf, transformerParams } from '@eagrl/runtime';
import { afterAll, expect, test } from 'vitest';
import { writeWeights } from '../../trainer/src/run/weights.ts';
import { loadGrowth } from './load_growth.ts';

const config = parseTransformerConfig({
  model_type: 'llama',
  vocab_size: 20_000,
  hidden_size: 1024,
  intermediate_size: 2816,
  num_hidden_layers: 5,
  num_attention_heads: 16,
  num_key_value_heads: 4,
  max_position_embeddings: 512,
  tie_word_embeddings: false,
});
const folder = mkdtempSync(join(tmpdir(), 'eagrl-load-'));
afterAll(() => rmSync(folder, { recursive: true }));

test.skipIf(process.platform !== 'linux')('host memory of a load: 1.2 x the largest tensor + 300 MB', async () => {
  const specs = transformerParams(config);
  const piece = new Float32Array(2 ** 20).map((_, i) => (i % 251) / 5000);
  const read = async function* (shape: readonly number[]) {
    for (let left = sizeOf(shape); left > 0; left -= piece.length) yield piece.subarray(0, Math.min(left, piece.length));
  };
  await writeWeights(
    folder,
    specs.map(({ name, shape }) => ({ name, shape, dtype: 'BF16', pieces: () => read(shape) })),
    60e6,
  );
  const backend = await openDevice({ device: 'webgpu-software' });
  const { growth, largest, files } = await loadGrowth(backend, folder, config, undefined, 'f32');
  await backend.destroy();
  const bound = 1.2 * largest + 300e6;
  expect(2 * files).toBeGreaterThan(bound);
  expect(growth, `${growth} bytes; the files have ${files}, the largest tensor ${largest}`).toBeLessThan(bound);
});
