/** The shipped base policy at work: a supervised step, reading prompts, generating; and a wave of tree search by itself. */
import { type HostBuffers, mcts } from '@eagrl/kernels';
import {
  AdamW,
  Context,
  type HostData,
  type PromptGroup,
  parseTransformerConfig,
  type SeqId,
  type Slice,
  transformerParams,
} from '@eagrl/runtime';
import { destroyPolicy, loadPolicy, type Policy, readModelFolder, sftStep } from '@eagrl/trainer';
import { Draw } from '../lib/case.ts';
import { repository } from '../lib/machine.ts';
import { decoderStep, largeDecoderStep } from './decoder.ts';
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

/** No node: mcts.wgsl. */
const NONE = 0xffffffff;

/** Trees of `nodes` nodes, four children each as far as they go. */
function forest(trees: number, nodes: number): HostBuffers {
  const d = new Draw('workload forest');
  const tree = new Uint32Array(nodes * 4);
  for (let i = 0; i < nodes; i++) {
    const children = Math.max(0, Math.min(4, nodes - (4 * i + 1)));
    tree.set([i === 0 ? NONE : (i - 1) >> 2, children ? 4 * i + 1 : 0, children, 0], i * 4);
  }
  const table = new Uint32Array(trees * nodes * 4);
  for (let t = 0; t < trees; t++) table.set(tree, t * nodes * 4);
  const stats = d.uniforms(trees * nodes * 4);
  for (let i = 0; i < stats.length; i += 4) stats[i] = 1 + Math.floor(50 * stats[i]); // visits
  return { nodes: table, stats, active: new Uint32Array(trees).fill(1) };
}

/**
 * One wave of search without the policy: from every root to a leaf, and its value back up. The result is the paths of the first two
 * waves, as the number of the child at each step, so that one wrong step is not lost beside large indices; the second wave's depend on
 * what the first left in the trees.
 */
export function searchWave(trees: number, nodes: number): Workload {
  const max_depth = Math.ceil(Math.log(3 * nodes + 1) / Math.log(4));
  const params = { trees, max_nodes: nodes, max_depth, w: 1 };
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
      const inputs = forest(trees, nodes);
      const put = (length: number, data?: HostData): Slice => {
        const slice = { buffer: backend.alloc(length), offset: 0, length };
        if (data) backend.write(slice, data);
        return slice;
      };
      const [table, stats, active] = ['nodes', 'stats', 'active'].map((name) => put(inputs[name].length, inputs[name] as HostData));
      const path = put(trees * (max_depth + 1));
      const lengths = put(trees);
      const wave = () => {
        backend.dispatch(mcts, 'mcts_select', [path, lengths, table, stats, active], params);
        backend.dispatch(mcts, 'mcts_backup', [stats, path, lengths], params);
      };
      return {
        async run() {
          wave();
          await backend.sync();
        },
        async result() {
          const steps: number[] = [];
          for (let i = 0; i < 2; i++) {
            wave();
            for (const node of await backend.read(path, 'u32')) steps.push(node === NONE ? 4 : (node - 1) & 3);
          }
          return steps;
        },
        free() {
          for (const { buffer } of [table, stats, active, path, lengths]) backend.free(buffer);
        },
      };
    },
  };
}

/** The larger forest takes 320 MB on each device, and twice that on the reference. */
export const workloads = (): readonly Workload[] => [
  decoderStep(),
  largeDecoderStep(),
  trainingStep({ groups: 2, promptTokens: 96, completions: 4, completionTokens: 32 }),
  prefill({ groups: 8, promptTokens: 128, completions: 0, completionTokens: 0 }),
  decode({ groups: 4, promptTokens: 64, completions: 8, completionTokens: 32 }),
  searchWave(1000, 1365),
  searchWave(100, 100_000),
];
