/**
 * Plan: tiny models of every family against Hugging Face transformers and PyTorch (transformer.py), on every device that needs no GPU:
 * Qwen2 (biases), Qwen3 (normed heads, with and without biases), Llama, Llama with llama3 scaling past its first context, SmolLM2's nine
 * heads on three; tied and untied, even and odd head counts. PEFT's adapters on two of them, where gradients and steps are the adapter's.
 *   logits of the completion tokens: the packed batch, each prompt stored once, against one plain forward per sequence; with matrices kept
 *     as f16 to 2e-2, which no adapter needs shader-f16 for
 *   gradient of the mean cross-entropy, every parameter by itself
 *   losses and gradient norms of 10 AdamW steps, every one of them clipped
 *   greedy continuations of 64 tokens through the paged KV cache against generate(), prompts of 1, 5 and 17 tokens
 * Tolerance 1e-4: relative RMS for tensors, relative for losses and norms. Both sides are f32; two or three layers of sums of at most 64
 * terms leave some 1e-6, ten AdamW steps, whose first ones only see the sign of small gradients, some 1e-5.
 * Greedy tokens are equal: the generator refuses continuations whose best two logits are within 1e-3.
 */
import { readFileSync } from 'node:fs';
import {
  AdamW,
  Context,
  Engine,
  lmHeadCrossEntropy,
  loadParams,
  loadWeights,
  openDevice,
  type Pack,
  type PromptGroup,
  packGroups,
  parseAdapterConfig,
  parseSafetensors,
  parseTransformerConfig,
  type StoredTensor,
  Tape,
  Transformer,
  type WeightType,
} from '@eagrl/runtime';
import { assertClose, relRms } from '@eagrl/testing';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { timesTransposed } from '../../runtime/src/ops/weight.ts';

const TOLERANCE = 1e-4;
const F16_TOLERANCE = 2e-2;

interface Golden {
  optimizer: { learning_rate: number; weight_decay: number; max_grad_norm: number; beta1: number; beta2: number; eps: number };
  models: {
    name: string;
    /** Whose weights: its own, or those that an adapter sits on. */
    base: string;
    config: object;
    adapter_config?: object;
    groups: { prompt: number[]; completions: number[][] }[];
    losses: number[];
    grad_norms: number[];
    greedy: { prompt: number[]; completion: number[] }[];
  }[];
}

const at = (file: string) => new URL(file, import.meta.url);
const { optimizer: optimizerOptions, models }: Golden = JSON.parse(readFileSync(at('transformer.json'), 'utf8'));

/** Gradients of the mean cross-entropy are added to the store's; gives the loss. */
async function meanCrossEntropy(ctx: Context, model: Transformer, pack: Pack): Promise<number> {
  const tape = new Tape(ctx);
  const losses = ctx.scope(() => {
    const hidden = model.forward(pack);
    const weights = new Float32Array(pack.targets.length).fill(1 / pack.targets.length);
    const read = ctx.read(lmHeadCrossEntropy(ctx, hidden, model.headWeight, pack.targets, weights));
    tape.backward();
    return read;
  });
  return (await losses).reduce((a, b) => a + b, 0);
}

describe.each(['wasm', 'webgpu-software', 'reference'] as const)('%s', (device) => {
  let ctx: Context;
  beforeAll(async () => {
    ctx = new Context(await openDevice({ device, threads: 2 }));
  });
  afterAll(() => ctx.backend.destroy());

  describe.each(models)('$name', (golden) => {
    const { tensors } = parseSafetensors(readFileSync(at(`transformer_${golden.name}.safetensors`)));
    const stored = (name: string): Float32Array => (tensors.get(name) as StoredTensor).read();
    const base = parseSafetensors(readFileSync(at(`transformer_${golden.base}.safetensors`))).tensors;
    const weightsOf = (file: typeof tensors) => new Map([...file].filter(([name]) => name !== 'logits' && !name.startsWith('grad.')));
    const groups: PromptGroup[] = golden.groups.map(({ prompt, completions }) => ({
      prompt: Uint32Array.from(prompt),
      completions: completions.map((c) => Uint32Array.from(c)),
    }));
    const pack = packGroups(groups);

    const build = (dtype: WeightType = 'f32'): Transformer => {
      const lora = golden.adapter_config && parseAdapterConfig(golden.adapter_config);
      const model = new Transformer(ctx, parseTransformerConfig(golden.config), lora, dtype);
      loadWeights(model, weightsOf(base));
      if (model.adapter) loadParams(model.adapter, weightsOf(tensors));
      return model;
    };

    const logits = (model: Transformer): Promise<Float32Array> =>
      ctx.scope(() => {
        const { vocab_size: vocab, hidden_size: dim } = model.config;
        const hidden = model.forward(pack);
        expect(hidden.shape).toEqual([pack.rows.length, dim]);
        const out = ctx.tensor([pack.rows.length, vocab]);
        timesTransposed(ctx, out, hidden, model.headWeight, pack.rows.length);
        return ctx.read(out);
      });

    test('logits', async () => {
      const model = build();
      const got = await logits(model);
      const want = stored('logits');
      expect(got.length).toBe(want.length);
      expect(relRms(got, want)).toBeLessThan(TOLERANCE);
      model.destroy();
    });

    test('logits with matrices kept as f16', async () => {
      const model = build('f16');
      const error = relRms(await logits(model), stored('logits'));
      expect(error).toBeLessThan(F16_TOLERANCE);
      // They are: f16 rounds by 2^-12 on average.
      expect(error).toBeGreaterThan(1e-5);
      model.destroy();
    });

    if (golden.adapter_config) {
      test('logits with the adapter merged into the weights', async () => {
        const model = build();
        const before = await model.params.read();
        model.mergeAdapter();
        expect(await model.params.read()).not.toEqual(before);
        expect(relRms(await logits(model), stored('logits'))).toBeLessThan(TOLERANCE);
        model.destroy();
      });

      test('a fresh adapter changes nothing', async () => {
        const model = build();
        model.initAdapter(1);
        const plain = new Transformer(ctx, model.config);
        loadParams(plain.params, weightsOf(base));
        expect(await logits(model)).toEqual(await logits(plain));
        plain.destroy();
        model.destroy();
      });
    }

    test('gradient of every parameter', async () => {
      const model = build();
      model.trainable.enableGrad();
      const loss = await meanCrossEntropy(ctx, model, pack);
      assertClose([loss], [golden.losses[0]], { rel: TOLERANCE, abs: 0, label: 'loss' });
      const grads = await model.trainable.readGrads();
      const names = [...tensors.keys()].filter((name) => name.startsWith('grad.'));
      expect([...grads.keys()].map((name) => `grad.${name}`).sort()).toEqual(names.sort());
      for (const [name, got] of grads) {
        const want = stored(`grad.${name}`);
        expect(got.length, name).toBe(want.length);
        expect(relRms(got, want), name).toBeLessThan(TOLERANCE);
      }
      model.destroy();
    });

    test('losses and gradient norms of 10 AdamW steps', async () => {
      const model = build();
      const { learning_rate: lr, weight_decay: weightDecay, max_grad_norm: maxGradNorm, ...moments } = optimizerOptions;
      const optimizer = new AdamW(model.trainable, { weightDecay, maxGradNorm, ...moments });
      const losses: number[] = [];
      const norms: number[] = [];
      while (losses.length < golden.losses.length) {
        model.trainable.zeroGrad();
        losses.push(await meanCrossEntropy(ctx, model, pack));
        norms.push(await optimizer.step({ lr }).gradNorm());
      }
      assertClose(losses, golden.losses, { rel: TOLERANCE, abs: 0, label: 'losses' });
      assertClose(norms, golden.grad_norms, { rel: TOLERANCE, abs: 0, label: 'gradient norms' });
      optimizer.destroy();
      model.destroy();
    });

    test('greedy continuations', async () => {
      const model = build();
      const engine = new Engine(ctx, model, { maxCacheBytes: 2 ** 20 });
      const seqs = engine.open(golden.greedy.map((g) => Uint32Array.from(g.prompt)));
      const requests = seqs.map((seq, i) => ({ seq, maxTokens: golden.greedy[i].completion.length, stopTokens: [], seed: 1, stream: i }));
      const completions = await engine.sample(requests, { temperature: 0 });
      expect(completions.map((c) => Array.from(c.tokens))).toEqual(golden.greedy.map((g) => g.completion));
      engine.destroy();
      model.destroy();
    });
  });
});
