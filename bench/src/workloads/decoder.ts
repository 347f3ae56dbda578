/**
 * The tiny decoder that peers can train too: one layer of a Llama-like model, 4 sequences of 64 tokens, hidden 64, 4 heads, MLP 128,
 * vocabulary 64, tied head, Adam. Weights and tokens are made here, so every library starts from the same numbers.
 */
import {
  AdamW,
  Context,
  lmHeadCrossEntropy,
  type Pack,
  parseTransformerConfig,
  Tape,
  Transformer,
  transformerParams,
} from '@eagrl/runtime';
import { Draw } from '../lib/case.ts';
import type { Job } from '../peers/job.ts';
import type { Workload } from './workload.ts';

/**
 * The first `steps` steps learn, and their losses are the result; the rate is 0 from then on, so that each timed step does the same
 * work on the same weights.
 */
const SHAPE = { batch: 4, tokens: 64, hidden: 64, heads: 4, mlp: 128, vocab: 64, layers: 1, steps: 5 } as const;
const ADAM = { lr: 1e-3, beta1: 0.9, beta2: 0.999, eps: 1e-8 } as const;
const NORM_EPS = 1e-6;
const ROPE_BASE = 10_000;

const config = () =>
  parseTransformerConfig({
    model_type: 'llama',
    vocab_size: SHAPE.vocab,
    hidden_size: SHAPE.hidden,
    intermediate_size: SHAPE.mlp,
    num_hidden_layers: SHAPE.layers,
    num_attention_heads: SHAPE.heads,
    num_key_value_heads: SHAPE.heads,
    max_position_embeddings: SHAPE.tokens,
    rope_theta: ROPE_BASE,
    rms_norm_eps: NORM_EPS,
    tie_word_embeddings: true,
  });

const specs = () => transformerParams(config());
const sizeOf = (shape: readonly number[]) => shape.reduce((a, b) => a * b);

/** Weights by name, as in a checkpoint; `ids` and the token after each, `targets`, both (batch, tokens). */
function decoderJob(): Job {
  const d = new Draw('tiny decoder');
  const weights = specs().map(({ name, shape }) => [
    name,
    shape.length === 1 ? new Float32Array(sizeOf(shape)).fill(1) : d.normals(sizeOf(shape), 0.1),
  ]);
  const rows = Array.from({ length: SHAPE.batch }, () => d.ints(SHAPE.tokens + 1, SHAPE.vocab));
  const flat = (from: number) => Uint32Array.from(rows.flatMap((row) => [...row.subarray(from, from + SHAPE.tokens)]));
  return {
    entry: 'decoder_step',
    params: { ...SHAPE, ...ADAM, norm_eps: NORM_EPS, rope_base: ROPE_BASE },
    inputs: { ...Object.fromEntries(weights), ids: flat(0), targets: flat(1) },
  };
}

/** Plain causal sequences, every position predicting the next token. */
function packOf({ inputs }: Job): Pack {
  const all = Uint32Array.from((inputs.ids as Uint32Array).keys());
  const start = (i: number) => i - (i % SHAPE.tokens);
  return {
    ids: inputs.ids as Uint32Array,
    positions: all.map((i) => i % SHAPE.tokens),
    seg: Uint32Array.from([...all].flatMap((i) => [0, 0, start(i), start(i) + SHAPE.tokens])),
    pairs: (SHAPE.batch * SHAPE.tokens * (SHAPE.tokens + 1)) / 2,
    rows: all,
    targets: inputs.targets as Uint32Array,
    completionOf: all.map((i) => Math.floor(i / SHAPE.tokens)),
  };
}

/** Multiply-adds of the products, twice; a step is a forward pass and two of the kind backward. Attention's own products count. */
function flopsPerStep(): number {
  const tokens = SHAPE.batch * SHAPE.tokens;
  const matrices = specs().reduce((n, { shape }) => n + (shape.length === 2 ? sizeOf(shape) : 0), 0);
  const attention = SHAPE.layers * 2 * SHAPE.tokens * SHAPE.hidden;
  return 3 * 2 * tokens * (matrices + attention);
}

/** One step of Adam on one batch, the loss read back each time. */
export function decoderStep(): Workload {
  const job = decoderJob();
  return {
    kernel: 'step',
    pass: 'decoder',
    shape: `${SHAPE.batch}x${SHAPE.tokens}x${SHAPE.hidden}`,
    flops: flopsPerStep(),
    amount: SHAPE.batch * SHAPE.tokens,
    unit: 'tokens',
    trainingStep: true,
    job,
    async place(backend) {
      const ctx = new Context(backend);
      const model = new Transformer(ctx, config());
      for (const { name } of specs()) model.params.write(name, job.inputs[name] as Float32Array);
      const optimizer = new AdamW(model.params, { ...ADAM, weightDecay: 0, maxGradNorm: 0 });
      const pack = packOf(job);
      const weights = new Float32Array(pack.rows.length).fill(1 / pack.rows.length);
      const losses: number[] = [];
      const run = async () => {
        const tape = new Tape(ctx);
        model.params.zeroGrad();
        const loss = ctx.scope(() => {
          const each = ctx.read(lmHeadCrossEntropy(ctx, model.forward(pack), model.headWeight, pack.targets, weights));
          tape.backward();
          return each;
        });
        optimizer.step({ lr: losses.length < SHAPE.steps ? ADAM.lr : 0 });
        const sum = (await loss).reduce((a, b) => a + b, 0);
        if (losses.length < SHAPE.steps) losses.push(sum);
      };
      return {
        run,
        async result() {
          while (losses.length < SHAPE.steps) await run();
          return losses;
        },
        free() {
          optimizer.destroy();
          model.destroy();
        },
      };
    },
  };
}
