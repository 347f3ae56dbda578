/** The shipped base policy at work: a supervised step, reading prompts, generating; and a wave of tree search by itself. */
import { type HostBuffers, launchRef, mcts } from '@eagrl/kernels';
import { AdamW, Context, type PromptGroup, parseTransformerConfig, type SeqId, transformerParams } from '@eagrl/runtime';
import { destroyPolicy, loadPolicy, type Policy, readModelFolder, sftStep } from '@eagrl/trainer';
import { Draw } from '../lib/case.ts';
import { repository } from '../lib/machine.ts';
import { Placed } from '../lib/placed.ts';
import { decoderStep } from './decoder.ts';
import type { Workload } from './workload.ts';

const folder = () => readModelFolder(new URL('trainer/assets/base-policy', repository).pathname);

/** 2 per parameter: the embedding is tied, so counting it once, as head, is right. */
function flopsPerToken(): number {
  const sizes = transformerParams(parseTransformerConfig(folder().config)).map((p) => p.shape.reduce((n, d) => n * d));
  return 2 * sizes.reduce((a, b) => a + b);
}

export interface Size {
  readonly groups: number;
  readonly promptTokens: number;
  readonly completions: number;
  readonly completionTokens: number;
}

function tokens(d: Draw, n: number, vocab: number): Uint32Array {
  return d.ints(n, vocab);
}

function batchOf(size: Size, vocab: number): PromptGroup[] {
  const d = new Draw('workload batch');
  return Array.from({ length: size.groups }, () => ({
    prompt: tokens(d, size.promptTokens, vocab),
    completions: Array.from({ length: size.completions }, () => tokens(d, size.completionTokens, vocab)),
  }));
}

const prompts = (size: Size, vocab: number): Uint32Array[] => batchOf(size, vocab).map((g) => g.prompt);
const vocabOf = (policy: Policy) => policy.model.config.vocab_size;

/**
 * Forward, backward and AdamW on packed groups that share their prompt. The rate of learning is 0: each step does the same work on the
 * same numbers. Flops: 6 per parameter and token, attention not counted.
 */
export function trainingStep(size: Size): Workload {
  const count = size.groups * (size.promptTokens + size.completions * size.completionTokens);
  return {
    kernel: 'step',
    pass: 'sft',
    shape: `${size.groups}x(${size.promptTokens}+${size.completions}x${size.completionTokens})`,
    flops: 3 * flopsPerToken() * count,
    amount: count,
    unit: 'tokens',
    trainingStep: true,
    async place(backend) {
      const policy = loadPolicy(new Context(backend), folder());
      const optimizer = new AdamW(policy.model.params);
      const batch = batchOf(size, vocabOf(policy));
      const step = () => sftStep(policy, optimizer, batch, { learningRate: 0, maxTokens: 2048 });
      return {
        run: step,
        async result() {
          const { loss, gradNorm } = await step();
          return [loss, gradNorm];
        },
        free() {
          optimizer.destroy();
          destroyPolicy(policy);
        },
      };
    },
  };
}

/** Prompts into the cache, nothing generated. */
export function prefill(size: Size): Workload {
  const count = size.groups * size.promptTokens;
  return {
    kernel: 'generate',
    pass: 'prefill',
    shape: `${size.groups}x${size.promptTokens}`,
    flops: flopsPerToken() * count,
    amount: count,
    unit: 'tokens',
    trainingStep: false,
    async place(backend) {
      const policy = loadPolicy(new Context(backend), folder());
      const { engine } = policy;
      const batch = prompts(size, vocabOf(policy));
      const close = (seqs: readonly SeqId[]) => {
        for (const seq of seqs) engine.release(seq);
      };
      return {
        async run() {
          close(engine.open(batch));
          await backend.sync();
        },
        async result() {
          const seqs = engine.open(batch);
          const requests = seqs.map((seq, i) => ({ seq, maxTokens: 1, stopTokens: [], seed: 1, stream: i }));
          const drawn = await engine.sample(requests, { temperature: 0 });
          close(seqs);
          return drawn.flatMap((c) => Array.from(c.entropies));
        },
        free: () => destroyPolicy(policy),
      };
    },
  };
}

/** Greedy continuations of prompts that lie in the cache; each run forks them anew. */
export function decode(size: Size): Workload {
  const count = size.groups * size.completions * size.completionTokens;
  return {
    kernel: 'generate',
    pass: 'decode',
    shape: `${size.groups * size.completions}x(${size.promptTokens}+${size.completionTokens})`,
    flops: flopsPerToken() * count,
    amount: count,
    unit: 'tokens',
    trainingStep: false,
    async place(backend) {
      const policy = loadPolicy(new Context(backend), folder());
      const { engine } = policy;
      const roots = engine.open(prompts(size, vocabOf(policy)));
      const sample = async () => {
        const seqs = roots.flatMap((root) => Array.from({ length: size.completions }, () => engine.fork(root)));
        const requests = seqs.map((seq, i) => ({ seq, maxTokens: size.completionTokens, stopTokens: [], seed: 1, stream: i }));
        const drawn = await engine.sample(requests, { temperature: 0 });
        for (const seq of seqs) engine.release(seq);
        return drawn;
      };
      return {
        run: sample,
        // The first token only: after it a tie in f32 may lead elsewhere than in f64.
        result: async () => (await sample()).map((c) => c.entropies[0]),
        free: () => destroyPolicy(policy),
      };
    },
  };
}

/** Complete trees of four children per node. */
function forest(trees: number, levels: number): { inputs: HostBuffers; nodes: number } {
  const nodes = (4 ** levels - 1) / 3;
  const d = new Draw('workload forest');
  const table = new Uint32Array(trees * nodes * 4);
  for (let t = 0; t < trees; t++) {
    for (let i = 0; i < nodes; i++) {
      const children = 4 * i + 1 < nodes ? 4 : 0;
      table.set([i === 0 ? 0xffffffff : (i - 1) >> 2, children ? 4 * i + 1 : 0, children, 0], (t * nodes + i) * 4);
    }
  }
  const stats = Float32Array.from(d.uniforms(trees * nodes * 4), (u, i) => (i % 4 === 0 ? 1 + Math.floor(50 * u) : u));
  return { inputs: { nodes: table, stats, active: new Uint32Array(trees).fill(1) }, nodes };
}

/** One wave of search without the policy: from every root to a leaf, and its value back up. */
export function searchWave(trees: number, levels: number): Workload {
  const { inputs, nodes } = forest(trees, levels);
  const params = { trees, max_nodes: nodes, max_depth: levels, w: 1 };
  const select = { spec: mcts, entry: 'mcts_select', shape: '', params, inputs: () => inputs };
  const paths = launchRef(mcts, 'mcts_select', inputs, params);
  const path = Uint32Array.from(paths.path);
  const path_length = Uint32Array.from(paths.path_length);
  const backup = { spec: mcts, entry: 'mcts_backup', shape: '', params, inputs: () => ({}) };
  return {
    kernel: 'mcts',
    pass: 'wave',
    shape: `${trees}x${nodes}`,
    flops: 0,
    amount: 1,
    unit: 'waves',
    trainingStep: false,
    async place(backend) {
      await backend.prepare([mcts]);
      const down = new Placed(select, backend, inputs);
      const up = new Placed(backup, backend, { stats: inputs.stats, path, path_length });
      return {
        async run() {
          down.launch.run();
          up.launch.run();
          await backend.sync();
        },
        async result() {
          down.launch.run();
          up.launch.run();
          const walked = await down.outputs();
          const updated = await up.outputs();
          return [...walked.path_length, ...updated.stats];
        },
        free() {
          down.free();
          up.free();
        },
      };
    },
  };
}

/** Built when asked for: the forest alone is 200 MB. */
export const workloads = (): readonly Workload[] => [
  decoderStep(),
  trainingStep({ groups: 2, promptTokens: 96, completions: 4, completionTokens: 32 }),
  prefill({ groups: 8, promptTokens: 128, completions: 0, completionTokens: 0 }),
  decode({ groups: 4, promptTokens: 64, completions: 8, completionTokens: 32 }),
  searchWave(1000, 6),
];
