/**
 * Plan. An adapter of the base policy, written in PEFT's layout and read back bit for bit; merge-lora gives the base plus (alpha / r) B A,
 * rounded to each tensor's dtype in the base, in a folder that loads like any other, a few rows in memory at a time; folders that do not fit
 * together are refused by name, before there is a folder; so is a sum that the dtype cannot hold.
 */
import { cpSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Context, openDevice, parseSafetensors, type TensorToStore, writeSafetensors } from '@eagrl/runtime';
import { assertClose, Random } from '@eagrl/testing';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { destroyPolicy } from '../model_source.ts';
import { mergeLora } from '../stages/merge.ts';
import { ConfigError } from '../util/errors.ts';
import { loadAdapter, readAdapterFolder, writeTrained } from './adapter_folder.ts';
import { BASE_POLICY, checkModelFolder, loadPolicy, readModelFolder } from './model_folder.ts';

const work = mkdtempSync(join(tmpdir(), 'eagrl-adapter-'));
const at = join(work, 'adapter');
const lora = { r: 4, alpha: 8, dropout: 0.1, target_modules: ['q_proj', 'down_proj'] };
const source = readModelFolder(BASE_POLICY);
let ctx: Context;
let written: Map<string, Float32Array>;

beforeAll(async () => {
  ctx = new Context(await openDevice({ device: 'wasm', threads: 1 }));
  const policy = loadPolicy(ctx, source, lora);
  const random = new Random('adapter');
  for (const p of policy.model.trainable.list) policy.model.trainable.write(p.name, random.normals(p.value.slice.length, 0.1));
  written = await policy.model.trainable.read();
  await writeTrained(at, policy, source, BASE_POLICY);
  destroyPolicy(policy);
});
afterAll(async () => {
  await ctx.backend.destroy();
  rmSync(work, { recursive: true });
});

it('written and read back bit for bit', async () => {
  expect(readdirSync(at).sort()).toEqual(['adapter_config.json', 'adapter_model.safetensors', 'chat_template.jinja', 'tokenizer.json']);
  const adapter = readAdapterFolder(at);
  expect(adapter).toEqual({ path: at, lora, base: BASE_POLICY });
  const policy = loadPolicy(ctx, source, adapter.lora);
  loadAdapter(policy, adapter);
  expect(await policy.model.trainable.read()).toEqual(written);
  destroyPolicy(policy);
});

it('merge-lora: W + (alpha / r) B A in the base dtype, the rest untouched', async () => {
  const out = join(work, 'merged');
  const lines = await mergeLora({ adapter: at, model: null, out, device: 'wasm', maxShardBytes: 2e6 });
  expect(lines[0]).toBe('merged r 4, alpha 8, on q_proj down_proj');
  expect(readdirSync(out)).toContain('model.safetensors.index.json');
  checkModelFolder(readModelFolder(out));
  const merged = loadPolicy(ctx, readModelFolder(out));
  const base = loadPolicy(ctx, source);
  const [got, before] = [await merged.model.params.read(), await base.model.params.read()];
  let changed = 0;
  for (const { name, shape } of base.model.params.list) {
    const [o, i] = shape;
    const prefix = `base_model.model.${name.replace(/\.weight$/, '')}`;
    const [a, b] = ['A', 'B'].map((m) => written.get(`${prefix}.lora_${m}.weight`));
    const want = before.get(name) as Float32Array;
    if (!a || !b) {
      expect(got.get(name), name).toEqual(want);
      continue;
    }
    changed++;
    const sum = want.map((w, n) => {
      let delta = 0;
      for (let k = 0; k < lora.r; k++) delta += b[Math.floor(n / i) * lora.r + k] * a[k * i + (n % i)];
      return w + 2 * delta;
    });
    expect(sum.length).toBe(o * i);
    // f16 keeps 11 bits.
    assertClose(got.get(name) as Float32Array, sum, { rel: 2 ** -10, abs: 1e-6, label: name });
  }
  expect(changed).toBe(8);
  destroyPolicy(merged);
  destroyPolicy(base);
});

/** The base policy's files, its weights as `change` has them. */
function rewritten(name: string, change: (t: TensorToStore) => TensorToStore): string {
  const folder = join(work, name);
  cpSync(BASE_POLICY, folder, { recursive: true });
  const { tensors } = parseSafetensors(readFileSync(join(folder, 'model.safetensors')));
  const stored = [...tensors.values()].map((t) => change({ ...t, data: t.read() }));
  writeFileSync(join(folder, 'model.safetensors'), writeSafetensors(stored));
  return folder;
}

it('merge-lora: each tensor in the dtype that it has in the base, whatever config.json says', async () => {
  const odd = 'model.layers.1.self_attn.q_proj.weight';
  const model = rewritten('mixed', (t) => ({ ...t, dtype: t.name === odd ? 'F32' : 'BF16' }));
  const out = join(work, 'mixed-merged');
  await mergeLora({ adapter: at, model, out, device: 'wasm' });
  const { tensors } = parseSafetensors(readFileSync(join(out, 'model.safetensors')));
  expect([...tensors.values()].filter((t) => t.dtype !== 'BF16').map((t) => [t.name, t.dtype])).toEqual([[odd, 'F32']]);
  checkModelFolder(readModelFolder(out));
});

it('merge-lora refuses a sum beyond the dtype, and leaves nothing', async () => {
  const strong = join(work, 'strong');
  cpSync(at, strong, { recursive: true });
  const file = join(strong, 'adapter_model.safetensors');
  const stored = [...parseSafetensors(readFileSync(file)).tensors.values()].map((t) => ({ ...t, data: t.read().map((v) => 1e3 * v) }));
  writeFileSync(file, writeSafetensors(stored));
  const out = join(work, 'strong-merged');
  const merge = mergeLora({ adapter: strong, model: null, out, device: 'wasm' });
  await expect(merge).rejects.toThrow(
    /merge-lora: 'model\.[\w.]+': element \d+ is -?\d+[\d.]*; F16, the base's dtype, holds at most 65504/,
  );
  await expect(merge).rejects.toThrow(ConfigError);
  expect(existsSync(out)).toBe(false);
});

it('refuses what does not fit together', async () => {
  const merge = (change: object) => mergeLora({ adapter: at, model: null, out: join(work, 'none'), device: 'wasm', ...change });
  await expect(merge({ adapter: work })).rejects.toThrow(/has no adapter_config.json/);
  await expect(merge({ model: join(work, 'absent') })).rejects.toThrow(/no folder .*absent; pass --model/);
  await expect(merge({ out: at })).rejects.toThrow(/is not empty; give a new folder/);
  const other = join(work, 'other');
  cpSync(at, other, { recursive: true });
  const edit = (change: object) => {
    const json = JSON.parse(readFileSync(join(at, 'adapter_config.json'), 'utf8'));
    writeFileSync(join(other, 'adapter_config.json'), JSON.stringify({ ...json, ...change }));
  };
  for (const [change, message] of [
    [
      { r: 8 },
      /adapter_model.safetensors: .*expected shape \(8, 256\), the file has \(4, 256\); give the model that it was trained on, \//,
    ],
    [{ target_modules: ['q_proj'] }, /Unexpected: 'base_model.model.model.layers.0.mlp.down_proj.lora_A.weight'/],
    [{ target_modules: ['c_attn'] }, /target_modules names "c_attn"/],
    [{ use_dora: true }, /use_dora is true/],
  ] as const) {
    edit(change);
    await expect(merge({ adapter: other })).rejects.toThrow(message);
    await expect(merge({ adapter: other })).rejects.toThrow(ConfigError);
  }
});
