/**
 * Plan. A tiny Qwen3 folder in bf16, as Hugging Face writes them: sharded weights, template in tokenizer_config.json, end tokens in
 * generation_config.json. Loaded and written back in shards it has the same files, bit for bit. Everything that can be wrong with a folder
 * is refused with the file's name, before a device is asked for anything: a shard missing or cut, an index that lies, tensors missing,
 * unexpected or misshapen, no template, no end token, an unknown dtype.
 */
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  Context,
  openDevice,
  ParamStore,
  parseSafetensors,
  parseTransformerConfig,
  saveParams,
  transformerParams,
  writeSafetensors,
} from '@eagrl/runtime';
import { Random } from '@eagrl/testing';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { destroyPolicy } from '../model_source.ts';
import { answerStops } from '../policy.ts';
import { chatPrompt } from '../text/chat.ts';
import { ConfigError } from '../util/errors.ts';
import { BASE_POLICY, checkModelFolder, loadPolicy, readModelFolder, writeModelFolder } from './model_folder.ts';
import { withWeights, writeWeights } from './weights.ts';

const work = mkdtempSync(join(tmpdir(), 'eagrl-model-'));
const folder = join(work, 'qwen3');
const MAX_SHARD = 60_000;
const config = {
  architectures: ['Qwen3ForCausalLM'],
  model_type: 'qwen3',
  vocab_size: 1408,
  hidden_size: 16,
  intermediate_size: 24,
  num_hidden_layers: 2,
  num_attention_heads: 3,
  num_key_value_heads: 1,
  head_dim: 8,
  max_position_embeddings: 64,
  rope_theta: 1_000_000,
  tie_word_embeddings: false,
  eos_token_id: 1397,
  dtype: 'bfloat16',
};
const tokenizerConfig = {
  bos_token: { content: '<|endoftext|>', special: true },
  eos_token: '<|im_end|>',
  chat_template: [
    { name: 'tool_use', template: 'unused' },
    { name: 'default', template: '{{ bos_token }}{% for m in messages %}[{{ m.content }}]{{ eos_token }}{% endfor %}' },
  ],
};
const put = (at: string, file: string, value: unknown) => writeFileSync(join(at, file), JSON.stringify(value));
const shards = (at: string) => readdirSync(at).filter((f) => f.startsWith('model'));

let ctx: Context;
beforeAll(async () => {
  ctx = new Context(await openDevice({ device: 'wasm', threads: 1 }));
  cpSync(join(BASE_POLICY, 'tokenizer.json'), join(folder, 'tokenizer.json'));
  put(folder, 'config.json', config);
  put(folder, 'tokenizer_config.json', tokenizerConfig);
  put(folder, 'generation_config.json', { eos_token_id: [1397, 1395], temperature: 0.6 });
  const params = new ParamStore(ctx, transformerParams(parseTransformerConfig(config)));
  const random = new Random('folder');
  for (const p of params.list) params.write(p.name, random.normals(p.value.slice.length, 0.1));
  await writeWeights(folder, saveParams(params, 'BF16'), MAX_SHARD);
  params.destroy();
});
afterAll(async () => {
  await ctx.backend.destroy();
  rmSync(work, { recursive: true });
});

it('a sharded bf16 folder is read, and written back bit for bit', async () => {
  expect(shards(folder).length).toBeGreaterThan(2);
  const source = readModelFolder(folder);
  checkModelFolder(source);
  const policy = loadPolicy(ctx, source);
  expect(policy.chat.prompt('hi')).toBe('<|endoftext|>[hi]<|im_end|>');
  expect(policy.endTokens).toEqual([1397, 1395]);
  expect(answerStops(policy)).toMatchObject({ stopTokens: [expect.any(Number), 1397, 1395], stopStrings: [] });
  const again = join(work, 'again');
  await writeModelFolder(again, policy, source, MAX_SHARD);
  for (const file of shards(folder)) expect(readFileSync(join(again, file)).equals(readFileSync(join(folder, file))), file).toBe(true);
  expect(readModelFolder(again)).toEqual({ ...source, path: again });
  const whole = join(work, 'whole');
  await writeModelFolder(whole, policy, source);
  expect(shards(whole)).toEqual(['model.safetensors']);
  const one = withWeights(whole, (tensors) => new Map([...tensors].map(([name, t]) => [name, t.read()])));
  const many = withWeights(folder, (tensors) => new Map([...tensors].map(([name, t]) => [name, t.read()])));
  expect(one).toEqual(many);
  destroyPolicy(policy);
});

it('chatml replaces the template', () => {
  expect(readModelFolder(folder, 'chatml').chatTemplate).toContain('<|im_start|>');
  const policy = loadPolicy(ctx, readModelFolder(folder, 'chatml'));
  expect(policy.chat.prompt('hi')).toBe(chatPrompt('hi'));
  destroyPolicy(policy);
});

describe('refuses', () => {
  const index = 'model.safetensors.index.json';
  /** Rewrites one shard's tensors. */
  const rewrite = (at: string, change: (name: string, shape: readonly number[]) => { name: string; shape: readonly number[] }) => {
    const file = shards(at).filter((f) => f !== index)[1];
    const { tensors } = parseSafetensors(readFileSync(join(at, file)));
    writeFileSync(
      join(at, file),
      writeSafetensors([...tensors.values()].map((t) => ({ ...change(t.name, t.shape), data: t.read(), dtype: t.dtype }))),
    );
  };
  const edit = (at: string, file: string, change: Record<string, unknown>) =>
    put(at, file, { ...JSON.parse(readFileSync(join(at, file), 'utf8')), ...change });
  it.each<[string, (at: string) => void, RegExp]>([
    [
      'no weights',
      (at) =>
        shards(at).forEach((f) => {
          rmSync(join(at, f));
        }),
      /has no model.safetensors; expected a folder with/,
    ],
    ['a shard missing', (at) => rmSync(join(at, shards(at)[1])), /model-00002-of-\d+.safetensors is missing; the index names it/],
    ['a shard cut', (at) => truncateSync(join(at, shards(at)[1]), 500), /model-00002-of-\d+.safetensors: .*(header claims|tensors cover)/],
    [
      'an index of another folder',
      (at) => put(at, index, { weight_map: { a: '../secret.safetensors' } }),
      /index.json: index: 'a' lies in/,
    ],
    [
      'a tensor of another name',
      (at) => rewrite(at, (name, shape) => ({ name: `${name}x`, shape })),
      /holds '.*x', which the index puts in no file/,
    ],
    [
      'a misshapen tensor',
      (at) => rewrite(at, (name, shape) => ({ name, shape: [...shape].reverse() })),
      /expected shape \(.*\), the file has \(/,
    ],
    ['another depth', (at) => edit(at, 'config.json', { num_hidden_layers: 3 }), /Missing: 'model.layers.2.input_layernorm.weight'/],
    ['no template', (at) => edit(at, 'tokenizer_config.json', { chat_template: null }), /no chat template.*set model.chat_template chatml/],
    ['a broken template', (at) => edit(at, 'tokenizer_config.json', { chat_template: '{% for %}' }), /chat template: /],
    [
      'no end token',
      (at) => {
        rmSync(join(at, 'generation_config.json'));
        edit(at, 'config.json', { eos_token_id: null });
      },
      /eos_token_id is null/,
    ],
    ['an end token outside', (at) => edit(at, 'generation_config.json', { eos_token_id: [1, 1408] }), /expected token ids below 1408/],
    ['a small vocabulary', (at) => edit(at, 'config.json', { vocab_size: 1000 }), /the tokenizer has 1408 ids, the embedding 1000 rows/],
    ['sliding windows', (at) => edit(at, 'config.json', { use_sliding_window: true }), /use_sliding_window = true is not supported/],
  ])('%s', (title, damage, message) => {
    const at = join(work, title.replaceAll(' ', '-'));
    cpSync(folder, at, { recursive: true });
    damage(at);
    const check = () => checkModelFolder(readModelFolder(at));
    expect(check).toThrow(ConfigError);
    expect(check).toThrow(message);
  });

  it('a dtype it cannot write, before it writes', async () => {
    const policy = loadPolicy(ctx, readModelFolder(folder));
    const source = { ...readModelFolder(folder), config: { ...config, dtype: 'float8_e4m3fn' } };
    await expect(writeModelFolder(join(work, 'float8'), policy, source)).rejects.toThrow(/dtype "float8_e4m3fn"; expected float32/);
    destroyPolicy(policy);
  });
});
