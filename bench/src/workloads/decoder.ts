/**
 * Decoders that peers can train too, each a Llama-like model with a tied head. Weights and tokens are made here, so every library starts
 * from the same numbers. The tiny one: one layer, 4 sequences of 64 tokens, Adam. And one of GPT-2-Medium's shape for GPUs.
 */
import {
  AdamW,
  type Backend,
  Context,
  lmHeadCrossEntropy,
  openDevice,
  type Pack,
  type ParamSpec,
  parseTransformerConfig,
  sizeOf,
  Tape,
  Transformer,
  transformerParams,
} from '@eagrl/runtime';
import { Draw } from '../lib/case.ts';
import type { Job } from '../peers/job.ts';
import type { Workload } from './workload.ts';

export interface DecoderShape {
  readonly batch: number;
  /** Of each sequence. */
  readonly tokens: number;
  readonly hidden: number;
  /** Of queries, and as many of keys and values. */
  readonly heads: number;
  readonly mlp: number;
  readonly vocab: number;
  readonly layers: number;
}

const ADAM = { beta1: 0.9, beta2: 0.999, eps: 1e-8 } as const;
const NORM_EPS = 1e-6;
const ROPE_BASE = 10_000;

const configOf = (s: DecoderShape) =>
  parseTransformerConfig({
    model_type: 'llama',
    vocab_size: s.vocab,
    hidden_size: s.hidden,
    intermediate_size: s.mlp,
    num_hidden_layers: s.layers,
    num_attention_heads: s.heads,
    num_key_value_heads: s.heads,
    max_position_embeddings: s.tokens,
    rope_theta: ROPE_BASE,
    rms_norm_eps: NORM_EPS,
    tie_word_embeddings: true,
  });

const specsOf = (s: DecoderShape) => transformerParams(configOf(s));

/** What every library is told of a model; `ids` and the token after each, `targets`, both (batch, tokens). */
function jobOf(entry: string, s: DecoderShape, d: Draw, more: Job['params'], weights: Job['inputs']): Job {
  const rows = Array.from({ length: s.batch }, () => d.ints(s.tokens + 1, s.vocab));
  const flat = (from: number) => Uint32Array.from(rows.flatMap((row) => [...row.subarray(from, from + s.tokens)]));
  const params = { ...s, ...ADAM, ...more, norm_eps: NORM_EPS, rope_base: ROPE_BASE };
  return { entry, params, inputs: { ...weights, ids: flat(0), targets: flat(1) } };
}

/** Plain causal sequences, every position predicting the next token. */
function packOf({ batch, tokens }: DecoderShape, { inputs }: Job): Pack {
  const all = Uint32Array.from((inputs.ids as Uint32Array).keys());
  const start = (i: number) => i - (i % tokens);
  return {
    ids: inputs.ids as Uint32Array,
    positions: all.map((i) => i % tokens),
    seg: Uint32Array.from([...all].flatMap((i) => [0, 0, start(i), start(i) + tokens])),
    pairs: (batch * tokens * (tokens + 1)) / 2,
    rows: all,
    targets: inputs.targets as Uint32Array,
    completionOf: all.map((i) => Math.floor(i / tokens)),
  };
}

/** Multiply-adds of the products, twice; a step is a forward pass and two of the kind backward. Attention's own products count. */
function flopsPerStep(s: DecoderShape): number {
  const matrices = specsOf(s).reduce((n, { shape }) => n + (shape.length === 2 ? sizeOf(shape) : 0), 0);
  const attention = s.layers * 2 * s.tokens * s.hidden;
  return 3 * 2 * s.batch * s.tokens * (matrices + attention);
}

interface Trainee {
  readonly model: Transformer;
  /** Queues a forward and a backward pass, which leave their gradients in the store; the mean loss comes when the device is done. */
  readonly gradients: () => Promise<number>;
}

/** `weightOf` is asked in the order of the checkpoint. */
function trainee(backend: Backend, s: DecoderShape, job: Job, weightOf: (spec: ParamSpec) => Float32Array): Trainee {
  const ctx = new Context(backend);
  const model = new Transformer(ctx, configOf(s));
  for (const spec of specsOf(s)) model.params.write(spec.name, weightOf(spec));
  const pack = packOf(s, job);
  const weights = new Float32Array(pack.rows.length).fill(1 / pack.rows.length);
  return {
    model,
    async gradients() {
      const tape = new Tape(ctx);
      model.params.zeroGrad();
      const losses = ctx.scope(() => {
        const each = ctx.read(lmHeadCrossEntropy(ctx, model.forward(pack), model.headWeight, pack.targets, weights));
        tape.backward();
        return each;
      });
      return (await losses).reduce((a, b) => a + b, 0);
    },
  };
}

const workload = (s: DecoderShape, pass: string, job: Job): Omit<Workload, 'place'> => ({
  kernel: 'step',
  pass,
  shape: `${s.batch}x${s.tokens}x${s.hidden}`,
  flops: flopsPerStep(s),
  amount: s.batch * s.tokens,
  unit: 'tokens',
  trainingStep: true,
  job,
});

const TINY: DecoderShape = { batch: 4, tokens: 64, hidden: 64, heads: 4, mlp: 128, vocab: 64, layers: 1 };
/**
 * The first `steps` steps learn, and their losses are the result; the rate is 0 from then on, so that each timed step does the same
 * work on the same weights.
 */
const TINY_LEARNS = { steps: 5, lr: 1e-3 } as const;

/** One step of Adam on one batch, the loss read back each time. */
export function decoderStep(): Workload {
  const d = new Draw('tiny decoder');
  const weights = specsOf(TINY).map(({ name, shape }) => [
    name,
    shape.length === 1 ? new Float32Array(sizeOf(shape)).fill(1) : d.normals(sizeOf(shape), 0.1),
  ]);
  const job = jobOf('decoder_step', TINY, d, TINY_LEARNS, Object.fromEntries(weights));
  const { steps, lr } = TINY_LEARNS;
  return {
    ...workload(TINY, 'decoder', job),
    async place(backend) {
      const { model, gradients } = trainee(backend, TINY, job, ({ name }) => job.inputs[name] as Float32Array);
      const optimizer = new AdamW(model.params, { ...ADAM, weightDecay: 0, maxGradNorm: 0 });
      const losses: number[] = [];
      const run = async () => {
        const loss = gradients();
        optimizer.step({ lr: losses.length < steps ? lr : 0 });
        const value = await loss;
        if (losses.length < steps) losses.push(value);
      };
      return {
        run,
        async result() {
          while (losses.length < steps) await run();
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

/** GPT-2-Medium's layers, width, heads, vocabulary and, but for the positions, number of weights (354 million), in a model of ours. */
export const GPT2_MEDIUM: DecoderShape = { batch: 1, tokens: 512, hidden: 1024, heads: 16, mlp: 2736, vocab: 50_257, layers: 24 };
/** A prime, so that the rows of a matrix, of any width, begin at different places of the table. */
const TABLE = 1_048_583;
const STD = 0.02;

/** Norms are 1; the matrices, one after the other, take the numbers of the table round and round: so many normals would take a minute to draw. */
function fromTable(table: Float32Array): (spec: ParamSpec) => Float32Array {
  let at = 0;
  return ({ shape }) => {
    const out = new Float32Array(sizeOf(shape));
    if (shape.length === 1) return out.fill(1);
    for (let done = 0; done < out.length; ) {
      const piece = table.subarray(at, at + out.length - done);
      out.set(piece, done);
      done += piece.length;
      at = (at + piece.length) % table.length;
    }
    return out;
  };
}

/** Elements read at a time. */
const PIECE = 2 ** 22;

/** Root of the sum of squares, for each layer and for what is in none. */
async function gradientNorms({ params }: Transformer): Promise<number[]> {
  const squares = new Map<string, number>();
  for (const p of params.list) {
    const part = /layers\.\d+/.exec(p.name)?.[0] ?? p.name;
    let sum = squares.get(part) ?? 0;
    for await (const piece of params.pieces(p, PIECE, params.grads)) for (const g of piece) sum += g * g;
    squares.set(part, sum);
  }
  return [...squares.values()].map(Math.sqrt);
}

/**
 * One step of AdamW on one sequence, as large as an adapter that is no CPU deserves; the rate is 0, so that each step does the same work. The
 * result is the loss and the norm of each layer's gradient. f64 would take a quarter of an hour, so they are compared with f32 on WebAssembly,
 * whose memory holds the weights and their gradients but no moments: the update itself is not compared here.
 */
export function largeDecoderStep(s: DecoderShape = GPT2_MEDIUM, pass = 'gpt2-medium'): Workload {
  const d = new Draw(pass);
  const table = d.normals(TABLE, STD);
  const job = jobOf('large_decoder_step', s, d, {}, { table });
  return {
    ...workload(s, pass, job),
    hardwareOnly: true,
    async place(backend) {
      const { model, gradients } = trainee(backend, s, job, fromTable(table));
      const optimizer = new AdamW(model.params, ADAM);
      const run = async () => {
        const loss = gradients();
        optimizer.step({ lr: 0 });
        return loss;
      };
      return {
        run,
        result: async () => [await run(), ...(await gradientNorms(model))],
        free() {
          optimizer.destroy();
          model.destroy();
        },
      };
    },
    async reference() {
      const backend = await openDevice({ device: 'wasm' });
      const { model, gradients } = trainee(backend, s, job, fromTable(table));
      model.params.enableGrad();
      model.gradientCheckpointing = true; // the same bits in less memory
      const want = [await gradients(), ...(await gradientNorms(model))];
      await backend.destroy();
      return want;
    },
  };
}
