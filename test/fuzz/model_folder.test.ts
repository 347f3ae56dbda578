/**
 * Plan: a model folder from anywhere is read or refused, never a crash, a hang or memory that the file asks for.
 *   whole folder (property): bytes of any of its files overwritten or cut: what comes is a policy or ConfigError, in time
 *   adapter folder (property): the same of adapter_config.json and adapter_model.safetensors, without memory of the size that they name
 *   config.json (property): any number in any size gives parameters in time, or ModelConfigError
 *   safetensors: a header of 10 GB in a file that is large enough is refused after 8 bytes; a NaN, an infinity by tensor and element
 *   chat template that loops, through the command line: exit code 2, one line
 */
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  Context,
  ModelConfigError,
  openDevice,
  openSafetensors,
  parseTransformerConfig,
  SafetensorsError,
  transformerParams,
} from '@eagrl/runtime';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { main } from '../../trainer/src/commands/main.ts';
import { destroyPolicy, emptyPolicy, readWords } from '../../trainer/src/model_source.ts';
import { checkAdapter, readAdapterFolder, writeTrained } from '../../trainer/src/run/adapter_folder.ts';
import { checkModelFolder, loadPolicy, readModelFolder, writeModelFolder } from '../../trainer/src/run/model_folder.ts';
import { ConfigError } from '../../trainer/src/util/errors.ts';

const golden = (file: string) => JSON.parse(readFileSync(new URL(`../golden/${file}`, import.meta.url), 'utf8'));
const shape = {
  model_type: 'qwen2',
  vocab_size: 703,
  hidden_size: 16,
  intermediate_size: 24,
  num_hidden_layers: 2,
  num_attention_heads: 2,
  num_key_value_heads: 1,
  max_position_embeddings: 64,
  tie_word_embeddings: true,
  eos_token_id: 702,
};
const folder = mkdtempSync(join(tmpdir(), 'eagrl-fuzz-'));
const files = new Map<string, Buffer>();
let ctx: Context;

beforeAll(async () => {
  ctx = new Context(await openDevice({ device: 'wasm', threads: 1 }));
  const { template, bos_token, eos_token } = golden('tokenizers.json').qwen2;
  const source = {
    config: shape,
    tokenizerJson: golden('tokenizer_qwen2.json'),
    tokenizerConfig: { bos_token, eos_token },
    generationConfig: null,
    chatTemplate: template,
  };
  const policy = emptyPolicy(ctx, source);
  policy.model.init(1);
  await writeModelFolder(folder, policy, source, 40_000);
  destroyPolicy(policy);
  for (const file of readdirSync(folder)) files.set(file, readFileSync(join(folder, file)));
});
afterAll(async () => {
  await ctx.backend.destroy();
  rmSync(folder, { recursive: true });
});

/** Runs `work` with a file of the folder as `content`. */
function withFile<T>(file: string, content: Uint8Array | string, work: () => T): T {
  writeFileSync(join(folder, file), content);
  try {
    return work();
  } finally {
    writeFileSync(join(folder, file), files.get(file) as Buffer);
  }
}

function load(): void {
  const source = readModelFolder(folder);
  checkModelFolder(source);
  destroyPolicy(loadPolicy(ctx, source));
}

describe('folder', () => {
  test('has shards, and loads', () => {
    expect([...files.keys()].filter((f) => f.startsWith('model-')).length).toBeGreaterThan(1);
    load();
  });

  test('any damaged file gives a policy or ConfigError, in time', () => {
    const before = ctx.backend.stats.liveBytes;
    let refused = 0;
    fc.assert(
      fc.property(
        fc.nat(),
        fc.array(fc.tuple(fc.nat(), fc.oneof(fc.nat(255), fc.constantFrom(0x22, 0x39, 0x5d, 0x7b, 0x7d))), { minLength: 1, maxLength: 4 }),
        fc.option(fc.nat(), { freq: 3 }),
        (which, edits, cut) => {
          const [file, whole] = [...files][which % files.size];
          const bytes = Buffer.from(whole.subarray(0, cut === null ? whole.length : cut % whole.length));
          // Headers and short files are where the structure is; the weights themselves are numbers.
          for (const [at, value] of edits) if (bytes.length > 0) bytes[at % Math.min(bytes.length, 600)] = value;
          const started = performance.now();
          try {
            withFile(file, bytes, load);
          } catch (error) {
            refused++;
            expect(error, `${file}: ${(error as Error).stack}`).toBeInstanceOf(ConfigError);
          }
          expect(performance.now() - started, file).toBeLessThan(10_000);
        },
      ),
      { numRuns: 120, seed: 4 },
    );
    expect(refused).toBeGreaterThan(40);
    expect(ctx.backend.stats.liveBytes).toBe(before);
  }, 60_000);

  test.each<[string, number, RegExp]>([
    ['NaN', Number.NaN, /^model: '[\w.]+': element 3 is NaN; weights must be finite; restore the file from its source$/],
    ['infinity', Number.POSITIVE_INFINITY, /element 3 is Infinity; weights must be finite/],
  ])('a weight that is %s', (_title, value, message) => {
    const file = [...files.keys()].find((f) => f.startsWith('model-')) as string;
    const bytes = Buffer.from(files.get(file) as Buffer);
    bytes.writeFloatLE(value, 8 + Number(bytes.readBigUInt64LE(0)) + 4 * 3);
    const live = ctx.backend.stats.liveBytes;
    expect(() => withFile(file, bytes, load)).toThrow(ConfigError);
    expect(() => withFile(file, bytes, load)).toThrow(message);
    expect(ctx.backend.stats.liveBytes).toBe(live);
  });

  test('a template that loops: exit code 2 and one line', async () => {
    let err = '';
    vi.spyOn(process.stderr, 'write').mockImplementation((text) => {
      err += text;
      return true;
    });
    const template = '{% for a in range(10 ** 7) %}{% for b in range(10 ** 7) %}{{ messages[0].content }}{% endfor %}{% endfor %}';
    writeFileSync(join(folder, 'chat_template.jinja'), template);
    const code = await main(['chat', folder, '--prompt', 'hi', '--device', 'wasm']);
    writeFileSync(join(folder, 'chat_template.jinja'), files.get('chat_template.jinja') as Buffer);
    vi.restoreAllMocks();
    expect(code).toBe(2);
    expect(err).toMatch(/^eagrl: model: chat template: gave up after 100000 steps; it loops; restore the file from its source\n$/);
  });
});

test('adapter folder: any damaged file, any number in adapter_config.json: an adapter of the model or ConfigError, in time', async () => {
  const at = mkdtempSync(join(tmpdir(), 'eagrl-fuzz-adapter-'));
  const source = readModelFolder(folder);
  const lora = { r: 2, alpha: 4, dropout: 0, target_modules: ['q_proj', 'down_proj'] };
  const policy = emptyPolicy(ctx, source, lora);
  policy.model.initAdapter(1);
  await writeTrained(at, policy, source, folder);
  destroyPolicy(policy);
  const { config } = readWords(source);
  const before = ctx.backend.stats.liveBytes;
  const outcomes = { taken: 0, refused: 0 };
  const attempt = () => {
    const started = performance.now();
    try {
      checkAdapter(readAdapterFolder(at), config);
      outcomes.taken++;
    } catch (error) {
      outcomes.refused++;
      expect(error, (error as Error).stack).toBeInstanceOf(ConfigError);
    }
    expect(performance.now() - started).toBeLessThan(5000);
  };
  attempt();
  expect(outcomes.taken).toBe(1);
  const [json, weights] = ['adapter_config.json', 'adapter_model.safetensors'].map((file) => join(at, file));
  const [wholeJson, wholeWeights] = [readFileSync(json), readFileSync(weights)];
  const byte = fc.tuple(fc.nat(), fc.oneof(fc.nat(255), fc.constantFrom(0x22, 0x39, 0x5d, 0x7b, 0x7d)));
  fc.assert(
    fc.property(fc.boolean(), fc.array(byte, { minLength: 1, maxLength: 4 }), fc.option(fc.nat(), { freq: 3 }), (inJson, edits, cut) => {
      const whole = inJson ? wholeJson : wholeWeights;
      const bytes = Buffer.from(whole.subarray(0, cut === null ? whole.length : cut % whole.length));
      for (const [i, value] of edits) if (bytes.length > 0) bytes[i % Math.min(bytes.length, 400)] = value;
      writeFileSync(inJson ? json : weights, bytes);
      attempt();
      writeFileSync(inJson ? json : weights, whole);
    }),
    { numRuns: 200, seed: 4 },
  );
  const keys = Object.keys(JSON.parse(wholeJson.toString()));
  const values = fc.oneof(fc.jsonValue(), fc.constantFrom(1e9, 2 ** 53 - 1, 1e300, -1, 0));
  fc.assert(
    fc.property(fc.constantFrom(...keys), values, (key, value) => {
      writeFileSync(json, JSON.stringify({ ...JSON.parse(wholeJson.toString()), [key]: value }));
      attempt();
    }),
    { numRuns: 200, seed: 4 },
  );
  expect(Math.min(outcomes.taken, outcomes.refused)).toBeGreaterThan(40);
  expect(ctx.backend.stats.liveBytes).toBe(before);
  rmSync(at, { recursive: true });
});

test('config.json: any number in any size gives parameters in time, or ModelConfigError', () => {
  const keys = Object.keys(shape).filter((k) => typeof (shape as Record<string, unknown>)[k] === 'number');
  const numbers = fc.oneof(
    fc.integer({ min: 1, max: 300 }),
    fc.maxSafeNat(),
    fc.constantFrom(2 ** 31 - 1, 2 ** 31, 1e300, -1, 0.5, 9999, 10_000),
  );
  fc.assert(
    fc.property(fc.constantFrom(...keys), numbers, fc.constantFrom('qwen2', 'qwen3', 'llama'), (key, value, model_type) => {
      const started = performance.now();
      try {
        transformerParams(parseTransformerConfig({ ...shape, model_type, [key]: value }));
      } catch (error) {
        expect(error).toBeInstanceOf(ModelConfigError);
      }
      expect(performance.now() - started).toBeLessThan(5000);
    }),
    { numRuns: 300 },
  );
});

test('safetensors: a header of 10 GB in a file of 11 GB is refused after 8 bytes', () => {
  const asked: number[] = [];
  const source = {
    size: 11e9,
    read: (begin: number, end: number) => {
      asked.push(end - begin);
      const first = new Uint8Array(end - begin);
      new DataView(first.buffer).setBigUint64(0, 10_000_000_000n, true);
      return first;
    },
  };
  expect(() => openSafetensors(source)).toThrow(SafetensorsError);
  expect(asked).toEqual([8]);
  expect(() => openSafetensors(source)).toThrow(/header claims 10000000000 bytes; .*the limit is 100000000/);
});
