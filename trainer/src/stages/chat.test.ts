/**
 * Plan: a conversation with the shipped policy on wasm.
 *   the pieces are the answer; the same seed gives the same answers after /reset; a long conversation answers as a fresh one that is given
 *     the same turns would (its keys and values are kept, or read again)
 *   stopping: at the end token, at the limit, by a signal, which leaves what was said in the conversation
 *   adapters A -> none -> A in one conversation answer as sessions of their own would; a folder that holds none changes nothing
 *   a turn that exceeds the context is refused and leaves the conversation as it was; the system turn is rendered
 *   a turn that fails while it is answered leaves the conversation as it was, whatever its sequence holds by then
 *   what flags leave open comes from generation_config.json; folders that do not fit are refused before a device is opened, a model that
 *     is too large for the device with the arithmetic, before its weights are read
 */
import { cpSync, mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  Context,
  EngineError,
  openDevice,
  parseTransformerConfig,
  safetensorsHeader,
  storedBytes,
  transformerParams,
} from '@eagrl/runtime';
import { Random } from '@eagrl/testing';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { destroyPolicy } from '../model_source.ts';
import { writeTrained } from '../run/adapter_folder.ts';
import { BASE_POLICY, loadPolicy, readModelFolder } from '../run/model_folder.ts';
import { ConfigError } from '../util/errors.ts';
import { type ChatOptions, ChatSession, withChat } from './chat.ts';

const work = mkdtempSync(join(tmpdir(), 'eagrl-chat-'));
afterAll(() => rmSync(work, { recursive: true }));

const base: ChatOptions = { model: null, adapter: null, device: 'wasm', dtype: 'f32', settings: { maxNewTokens: 24, seed: 1 } };
const never = new AbortController().signal;

async function say(session: ChatSession, text: string, signal = never) {
  const pieces: string[] = [];
  const reply = await session.reply(text, (piece) => pieces.push(piece), signal);
  return { ...reply, seconds: 0, text: pieces.join(''), pieces };
}

/** Tokens of the conversation and a long turn: a prompt beyond the context is refused by its length, which tells what was rendered. */
const lengthOf = (session: ChatSession): Promise<number> =>
  say(session, 'urea '.repeat(2100)).then(
    () => 0,
    (error: Error) => Number(/open: (\d+) tokens/.exec(error.message)?.[1]),
  );

/** A folder with an adapter of the shipped policy that changes what it says. */
const adapter = join(work, 'adapter');
beforeAll(async () => {
  const backend = await openDevice({ device: 'wasm', threads: 1 });
  const source = readModelFolder(BASE_POLICY);
  const policy = loadPolicy(new Context(backend), source, { r: 4, alpha: 8, dropout: 0, target_modules: ['q_proj', 'down_proj'] });
  const random = new Random('chat adapter');
  const { trainable } = policy.model;
  for (const { name, shape } of trainable.list) trainable.write(name, random.normals(shape[0] * shape[1], 0.5));
  await writeTrained(adapter, policy, source, BASE_POLICY);
  destroyPolicy(policy);
  await backend.destroy();
});

describe('eagrl chat', () => {
  it('keeps the weights in fewer bits when asked to', async () => {
    await withChat({ ...base, dtype: 'int4' }, async (session, about) => {
      expect(about).toMatch(/^qwen2, 3\.\d million weights as int4, context 2048/);
      expect((await say(session, 'Is urea 12 abnormal?')).numTokens).toBeGreaterThan(0);
    });
  });

  it('streams, remembers, starts over, and stops', async () => {
    await withChat(base, async (session, about) => {
      expect(about).toMatch(/^qwen2, 3\.\d million weights as f32, context 2048, on WebAssembly/);
      const first = await say(session, 'Is urea 12 abnormal?');
      expect(first.pieces.length).toBeGreaterThan(5);
      const second = await say(session, 'Is age 80 abnormal?');
      session.reset();
      expect(await say(session, 'Is urea 12 abnormal?')).toEqual(first);
      expect(await say(session, 'Is age 80 abnormal?')).toEqual(second);
      session.reset();
      expect((await say(session, 'Is age 80 abnormal?')).text).not.toBe(second.text);

      const controller = new AbortController();
      let count = 0;
      const stopped = await session.reply('Is urea 12 abnormal?', () => ++count === 3 && controller.abort(), controller.signal);
      expect(stopped).toMatchObject({ finished: 'aborted', numTokens: count });
      expect((await say(session, 'And now?')).numTokens).toBeGreaterThan(0);

      await expect(say(session, 'urea '.repeat(2100))).rejects.toThrow(/tokens exceed the context of 2048; shorten the prompt/);
      expect((await say(session, 'Still there?')).numTokens).toBeGreaterThan(0);
    });
  });

  it('a turn that fails half-way: the next one answers as if it had never been', async () => {
    const backend = await openDevice({ device: 'wasm', threads: 1 });
    const talk = async (failAfter: number | null) => {
      const policy = loadPolicy(new Context(backend), readModelFolder(BASE_POLICY));
      const session = new ChatSession(policy, base.settings);
      const answers = [await say(session, 'Is urea 12 abnormal?')];
      if (failAfter !== null) {
        const { engine } = policy;
        const sample = engine.sample.bind(engine);
        let calls = 0;
        engine.sample = async (...request) => {
          if (calls++ === failAfter) throw new EngineError('sample: needs 2 cache blocks of 4 tokens, 0 of 65536 are free');
          return sample(...request);
        };
        await expect(say(session, 'Is age 80 abnormal?')).rejects.toThrow(EngineError);
        engine.sample = sample;
      }
      answers.push(await say(session, 'Is heart rate 130 abnormal?'));
      session.destroy();
      return answers;
    };
    const want = await talk(null);
    expect(await talk(0)).toEqual(want);
    expect(await talk(3)).toEqual(want);
    await backend.destroy();
  });

  it('swaps adapters; what was said stays', async () => {
    const first = await withChat({ ...base, adapter }, (session) => say(session, 'Is urea 12 abnormal?'));
    await withChat(base, async (session, about) => {
      expect(about).toContain('weights as f32, context 2048');
      const plain = await say(session, 'Is urea 12 abnormal?');
      expect(plain.text).not.toBe(first.text);
      session.reset();
      for (const answer of [first, plain, first]) {
        expect(session.adapt(answer === first ? adapter : null)).toBe(answer === first ? 'adapter of rank 4' : 'no adapter');
        expect(() => session.adapt(work)).toThrow(/has no adapter_config.json/);
        expect(await say(session, 'Is urea 12 abnormal?')).toEqual(answer);
        session.reset();
      }
      const fresh = await lengthOf(session);
      await say(session, 'Is urea 12 abnormal?');
      const kept = await lengthOf(session);
      expect(kept).toBeGreaterThan(fresh);
      session.adapt(null);
      expect(await lengthOf(session)).toBe(kept);
      expect((await say(session, 'And now?')).numTokens).toBeGreaterThan(0);
    });
  });

  it('stops at the end token; the end token is not shown', async () => {
    const settings = { maxNewTokens: 400, seed: 3, temperature: 0.3 };
    await withChat({ ...base, settings }, async (session) => {
      const { finished, text } = await say(session, 'Is urea 12 abnormal? Give the final answer.');
      expect(finished).toBe('stop');
      expect(text).not.toContain('<|im_end|>');
    });
  });

  it('renders the system turn, and samples as generation_config.json says', async () => {
    const model = join(work, 'greedy');
    cpSync(BASE_POLICY, model, { recursive: true });
    writeFileSync(join(model, 'generation_config.json'), JSON.stringify({ do_sample: false, eos_token_id: 1397 }));
    const answer = (settings: ChatOptions['settings']) =>
      withChat({ ...base, model, settings }, (session) => say(session, 'Is urea 12 abnormal?'));
    const greedy = await answer({ maxNewTokens: 12, seed: 1 });
    expect((await answer({ maxNewTokens: 12, seed: 2 })).text).toBe(greedy.text);
    expect((await answer({ maxNewTokens: 12, seed: 2, temperature: 5 })).text).not.toBe(greedy.text);
    const length = (settings: ChatOptions['settings']) => withChat({ ...base, settings }, lengthOf);
    const plain = await length(base.settings);
    expect(plain).toBeGreaterThan(2100);
    expect(await length({ ...base.settings, system: 'urea urea' })).toBeGreaterThan(plain + 2);
  });

  it('refuses folders that do not fit, before a device is opened', async () => {
    const talk = async () => expect.fail('talked');
    await expect(withChat({ ...base, model: join(work, 'none') }, talk)).rejects.toThrow(/chat: no folder/);
    await expect(withChat({ ...base, model: 'Qwen/Qwen2.5-0.5B-Instruct' }, talk)).rejects.toThrow(
      /a model is a folder on this disk.*nothing is downloaded/,
    );
    await expect(withChat({ ...base, model: join(BASE_POLICY, 'config.json') }, talk)).rejects.toThrow(
      /config.json is a file; give the folder/,
    );
    await expect(withChat({ ...base, adapter: work }, talk)).rejects.toThrow(/has no adapter_config.json/);
    await expect(withChat({ ...base, model: work }, talk)).rejects.toThrow(ConfigError);
  });

  it('refuses a model that the device cannot hold, with the arithmetic, before its weights are read', async () => {
    const model = join(work, 'large');
    cpSync(BASE_POLICY, model, { recursive: true });
    const json = JSON.parse(readFileSync(join(model, 'config.json'), 'utf8'));
    const shape = { hidden_size: 4096, intermediate_size: 14_336, num_attention_heads: 32, num_key_value_heads: 8, num_hidden_layers: 8 };
    const large = { ...json, ...shape, head_dim: 128 };
    writeFileSync(join(model, 'config.json'), JSON.stringify(large));
    // Weights of the right size that the disk has no blocks for.
    const specs = transformerParams(parseTransformerConfig(large)).map(({ name, shape }) => ({ name, shape, dtype: 'BF16' as const }));
    const header = safetensorsHeader(specs);
    writeFileSync(join(model, 'model.safetensors'), header);
    truncateSync(join(model, 'model.safetensors'), header.length + specs.reduce((n, s) => n + storedBytes(s), 0));
    const started = performance.now();
    const refused = withChat({ ...base, model }, async () => expect.fail('talked'));
    await expect(refused).rejects.toThrow(
      /^needs 7\.\d GB for weights \+ .* = \d\.\d GB; .* has 4\.3 GB in one memory; try dtype int4, a smaller model, or another device$/,
    );
    expect(performance.now() - started).toBeLessThan(5000);
  });
});
