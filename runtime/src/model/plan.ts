/**
 * Memory of training and generation, from a config alone: which tensors exist at the moment of most use, in bytes. Nothing is loaded and no
 * device is asked. Everything is f32 but frozen matrices of another dtype. plan.test.ts holds the sums against what a device counts. Where a
 * device binds so little that a trained matrix lies in blocks of rows, a copy of one block's columns of its output's gradient comes on top.
 */
import type { WeightType } from '@eagrl/kernels';
import { type DeviceInfo, SLICE_ALIGN } from '../backend.ts';
import { branchedBlocks, FIRST_BLOCKS } from '../generate/kv_cache.ts';
import { headChunkRows } from '../ops/lm_head.ts';
import type { ParamSpec } from '../params.ts';
import { matrixBytes } from '../stored.ts';
import { alignUp, sizeOf } from '../tensor.ts';
import { ModelConfigError, type TransformerConfig } from './config.ts';
import { type LoraConfig, loraParams, loraPaths } from './lora.ts';
import { type Fusion, fusionOf, transformerParams } from './transformer_weights.ts';

/** What is generated at a time: prompts, what goes on from each of them, and the lengths. */
export interface Generation {
  readonly prompts: number;
  readonly numGenerations: number;
  readonly promptLength: number;
  readonly completionLength: number;
  /** A search: `numGenerations` are the steps of a tree, which all stay until it is done, so many of them sampled at a time. */
  readonly children?: number;
}

/** What is to be done with a model. */
export interface Workload extends Generation {
  /** Undefined trains all weights. */
  readonly lora?: LoraConfig;
  /** How the matrices of the frozen model are kept; only beside an adapter. Default f32. */
  readonly dtype?: WeightType;
  /** Tokens of one forward and backward pass, and how many of them are predicted. */
  readonly tokensPerPass: number;
  readonly targetsPerPass: number;
  /** What is generated at other times. */
  readonly others?: readonly Generation[];
  /** WebAssembly packs the right-hand matrix of a product into a copy. */
  readonly packing: boolean;
  /** Layers keep their input alone and are computed again in the backward pass. */
  readonly gradientCheckpointing?: boolean;
  /** A frozen copy of what is trained, for the KL term; the weights beside an adapter are shared. */
  readonly reference?: boolean;
}

export interface PlanLine {
  readonly name: string;
  readonly bytes: number;
  /** The arithmetic, in words. */
  readonly how: string;
}

export interface MemoryPlan {
  readonly lines: readonly PlanLine[];
  readonly bytes: number;
  /** Limit of the KV cache that the plan counts with: the engine's `maxCacheBytes`. */
  readonly cacheBytes: number;
  /** The largest single buffer that a device must bind: it has a limit for that too. */
  readonly largest: PlanLine;
  /** What would need less. */
  readonly advice: string;
}

const F32 = 4;
/** As generate/engine.ts has them. */
const CACHE = { blockSize: 4, maxBytes: 2 ** 30, maxBatch: 256, prefillRows: 512 } as const;

const sum = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0);
const count = (n: number): string => n.toLocaleString('en-US');

/** The switches for weights that are not yet set. */
function fewerBits({ lora, dtype }: Workload): string {
  if (!lora) return 'model.use_peft true with model.dtype int4, ';
  return dtype === 'int4' ? '' : 'model.dtype int4, ';
}

/** Bytes of a model's weights, and the arithmetic. */
function weightsOf(c: TransformerConfig, dtype: WeightType): { bytes: number; how: string } {
  const specs = transformerParams(c);
  const all = sum(specs.map((p) => alignUp(sizeOf(p.shape))));
  if (dtype === 'f32') return { bytes: F32 * all, how: `${count(all)} x 4` };
  const vectors = sum(specs.filter((p) => p.shape.length < 2).map((p) => alignUp(sizeOf(p.shape))));
  const matrices = specs.filter((p) => p.shape.length === 2);
  const packed = sum(matrices.map((p) => matrixBytes(dtype, [p.shape[0], p.shape[1]])));
  const elements = sum(matrices.map((p) => sizeOf(p.shape)));
  return {
    bytes: packed + F32 * vectors,
    how: `${count(elements)} as ${dtype}, ${((8 * packed) / elements).toFixed(1)} bits each, and ${count(vectors)} x 4`,
  };
}

/**
 * Memory of a model under a workload, on a device whose whole memory is `memory` bytes, where that is known (WebAssembly). The KV cache has
 * 1 GiB at the most, less where less is left, and always room for what cannot be cut, a prompt with one completion or a tree: whoever
 * generates more does so in parts that fit.
 * @throws ModelConfigError when the adapter does not fit the model, and when weights of another dtype than f32 are to be trained.
 */
export function planMemory(c: TransformerConfig, work: Workload, memory = Number.POSITIVE_INFINITY): MemoryPlan {
  const { dtype = 'f32' } = work;
  if (dtype !== 'f32' && !work.lora) throw new ModelConfigError(`plan: weights kept as ${dtype} are not trained; plan an adapter`);
  const specs = transformerParams(c);
  const elements = (list: readonly { readonly shape: readonly number[] }[]) => sum(list.map((p) => alignUp(sizeOf(p.shape))));
  const trained = elements(work.lora ? loraParams(specs, work.lora) : specs);
  const frozen = weightsOf(c, dtype);
  const rotary = c.max_position_embeddings * c.head_dim;
  const copied = work.lora ? trained : trained + rotary;
  const what = work.lora ? `adapter of rank ${work.lora.r}` : 'all weights';
  const { kept, working, how } = activations(c, work);
  const generating = Math.max(...generationsOf(work).flatMap((g) => generation(c, work, g)));
  const held: PlanLine[] = [
    { name: 'weights', ...frozen },
    ...(work.lora ? [{ name: 'adapter', bytes: F32 * trained, how: `${count(trained)} x 4, rank ${work.lora.r}` }] : []),
    ...(work.reference
      ? [
          {
            name: 'reference',
            bytes: F32 * copied,
            how: `${work.lora ? 'a second adapter on the same weights' : 'a copy of the weights, and a rotary table'}: ${count(copied)} x 4`,
          },
        ]
      : []),
    { name: 'gradients', bytes: F32 * trained, how: `${what}: ${count(trained)} x 4` },
    {
      name: 'optimiser',
      bytes: F32 * (2 * trained + Math.ceil(trained / 64) + Math.ceil(trained / 4096)),
      how: `two moments of ${count(trained)} x 4`,
    },
    {
      name: 'rotary table',
      bytes: F32 * rotary,
      how: `${count(c.max_position_embeddings)} positions x ${c.head_dim} x 4`,
    },
  ];
  const passing: PlanLine[] =
    kept + working >= generating
      ? [
          { name: 'activations', bytes: F32 * kept, how },
          {
            name: 'working memory',
            bytes: F32 * working,
            how: work.gradientCheckpointing
              ? 'logits of a chunk, or one layer computed again with its gradients'
              : 'logits of a chunk, or gradients inside one layer',
          },
        ]
      : [{ name: 'generation', bytes: F32 * generating, how: 'a layer of the prefill, or the logits of a batch' }];
  const cache = planCache(c, generationsOf(work), memory - sum([...held, ...passing].map((l) => l.bytes)));
  const lines = [...held, { name: 'KV cache', bytes: cache.bytes, how: cache.how }, ...passing];
  const buffers: PlanLine[] = [
    // Weights lie in as many buffers as a device asks for, a matrix in blocks of 64 rows or more.
    { name: 'weights', bytes: largestBlock(specs, dtype), how: '64 rows of the widest matrix' },
    { name: 'logits', bytes: F32 * logitsBuffer(c, work), how: `${count(c.vocab_size)} x 4 for each row of a chunk, or of a batch` },
    { name: 'rotary table', bytes: F32 * rotary, how: 'one buffer' },
    { name: 'KV cache', bytes: cache.least / (2 * c.num_hidden_layers), how: `keys of one layer, ${cache.uncut}` },
    { name: 'activations', bytes: F32 * work.tokensPerPass * widest(c), how: 'the widest of a layer' },
  ];
  return {
    lines,
    bytes: sum(lines.map((l) => l.bytes)),
    cacheBytes: cache.limit,
    largest: buffers.reduce((a, b) => (b.bytes > a.bytes ? b : a)),
    advice: `try ${fewerBits(work)}${work.gradientCheckpointing ? '' : 'model.gradient_checkpointing true, '}fewer prompts or completions at a time, shorter ones, ${work.others?.some((g) => g.children) ? 'smaller search trees, ' : ''}or a smaller model`,
  };
}

/** Bytes of the largest piece of a weight that a device must bind at once: SLICE_ALIGN rows of a matrix, or a whole vector. */
const largestBlock = (specs: readonly ParamSpec[], dtype: WeightType): number =>
  Math.max(
    ...specs.map(({ shape }) =>
      shape.length === 2 ? matrixBytes(dtype, [Math.min(shape[0], SLICE_ALIGN), shape[1]]) : F32 * sizeOf(shape),
    ),
  );

/** What is to be done with a model that is not trained. */
export type GenerationWorkload = Generation & Pick<Workload, 'lora' | 'dtype' | 'packing'>;

/** Memory of a model that generates and nothing else. @throws ModelConfigError when the adapter does not fit the model. */
export function planGeneration(c: TransformerConfig, generate: GenerationWorkload): MemoryPlan {
  const work: Workload = { ...generate, tokensPerPass: 0, targetsPerPass: 0 };
  const { lora, dtype = 'f32' } = work;
  const specs = transformerParams(c);
  const adapter = lora ? F32 * sum(loraParams(specs, lora).map((p) => alignUp(sizeOf(p.shape)))) : 0;
  const table = F32 * c.max_position_embeddings * c.head_dim;
  const cache = planCache(c, [work], Number.POSITIVE_INFINITY);
  const weights = weightsOf(c, dtype);
  const lines: PlanLine[] = [
    { name: 'weights', ...weights },
    ...(lora ? [{ name: 'adapter', bytes: adapter, how: `rank ${lora.r}` }] : []),
    { name: 'rotary table', bytes: table, how: `${count(c.max_position_embeddings)} positions x ${c.head_dim} x 4` },
    {
      name: 'KV cache',
      bytes: cache.bytes,
      how: `${count(work.promptLength + work.completionLength)} tokens, ${c.num_hidden_layers} layers`,
    },
    { name: 'generation', bytes: F32 * Math.max(...generation(c, work, work)), how: 'a layer of the prefill, or the logits of a batch' },
  ];
  const logits = F32 * c.vocab_size * batchOf(work);
  const buffers: PlanLine[] = [
    { name: 'weights', bytes: largestBlock(specs, dtype), how: '64 rows of the widest matrix' },
    { name: 'logits', bytes: logits, how: `${count(c.vocab_size)} x 4 for each row of a batch` },
    { name: 'rotary table', bytes: table, how: 'one buffer' },
    { name: 'KV cache', bytes: cache.bytes / (2 * c.num_hidden_layers), how: 'keys of one layer' },
  ];
  return {
    lines,
    bytes: sum(lines.map((l) => l.bytes)),
    cacheBytes: cache.limit,
    largest: buffers.reduce((a, b) => (b.bytes > a.bytes ? b : a)),
    advice: `try ${dtype === 'int4' ? '' : 'dtype int4, '}a smaller model, or another device`,
  };
}

/** Rows of logits at a time, of `targets`. */
const chunkRows = (c: TransformerConfig, targets: number): number => Math.min(headChunkRows(c.vocab_size), targets);

/** Elements of the larger of two buffers: a chunk in training, a batch in generation. */
const logitsBuffer = (c: TransformerConfig, work: Workload): number =>
  c.vocab_size * Math.max(chunkRows(c, work.targetsPerPass), ...generationsOf(work).map(batchOf));

/** Whether products with the model's matrices pack a copy of them: those of another dtype than f32 are unpacked tile by tile. */
const packs = ({ packing, dtype = 'f32' }: Workload): boolean => packing && dtype === 'f32';

function fusionIn(c: TransformerConfig, { lora, dtype = 'f32', packing }: Pick<Workload, 'lora' | 'dtype' | 'packing'>): Fusion {
  const adapted = lora ? loraPaths(transformerParams(c), lora).map(({ path }) => path) : [];
  return fusionOf(c, dtype, packing ? 'wasm' : 'webgpu', adapted);
}

/** A fused projection holds the values too, which attention takes from a tensor of their own. */
const copiesOfValues = (c: TransformerConfig, work: Pick<Workload, 'lora' | 'dtype' | 'packing'>): 0 | 1 => (fusionIn(c, work).qkv ? 1 : 0);

/** Elements of the widest activation of a token. Projections that are one product are parted again where the device does not bind that. */
const widest = (c: TransformerConfig): number => Math.max(c.intermediate_size, c.num_attention_heads * c.head_dim);

/** What the tape holds at the end of the forward pass, and the most that the backward pass needs beside it. */
function activations(c: TransformerConfig, work: Workload): { kept: number; working: number; how: string } {
  const { tokensPerPass: t, targetsPerPass: n, lora } = work;
  const [q, kv] = [c.num_attention_heads * c.head_dim, c.num_key_value_heads * c.head_dim];
  const normed = c.model_type === 'qwen3' ? q + kv + c.num_attention_heads + c.num_key_value_heads : 0;
  // Up to the attention, for every token: the norm and 1 / rms; q, k, v, turned q and k, o; attention's stats.
  const attending = c.hidden_size + 1 + 3 * q + (3 + copiesOfValues(c, work)) * kv + 2 * c.num_attention_heads + normed;
  // Past it: two sums, the norm and 1 / rms; gate, up and their product. The last layer has only the rows that are read, and copies of its input
  // and of o for them.
  const mlp = 3 * c.hidden_size + 1 + 3 * c.intermediate_size;
  const rows = t * (c.num_hidden_layers - 1) + n;
  const adapted = lora ? adapterActivations(c, lora, t, n) : 0;
  if (work.gradientCheckpointing) return checkpointed(c, work, attending + mlp);
  const kept = t * (c.num_hidden_layers * attending + c.hidden_size + 5) + rows * mlp + n * (2 * c.hidden_size + q + 1) + adapted;
  const { head, inLayer } = workingMemory(c, work);
  const how = `${c.num_hidden_layers} layers: ${count(t)} tokens x ${count(attending)} in each, ${count(rows)} x ${count(mlp)} past the attention${adapted ? `, ${count(adapted)} of the adapter` : ''}, and the ends, x 4`;
  return { kept, working: Math.max(head, inLayer), how };
}

/** The same where each layer keeps its input alone: one layer at a time has its `perToken` elements, and its gradients beside them. */
function checkpointed(c: TransformerConfig, work: Workload, perToken: number): ReturnType<typeof activations> {
  const { tokensPerPass: t, targetsPerPass: n, lora } = work;
  const layers = c.num_hidden_layers;
  const kept = t * (layers * c.hidden_size + 5) + n * (2 * c.hidden_size + 1);
  const { head, inLayer } = workingMemory(c, work);
  const first = 'model.layers.0.';
  // What dropout gives down_proj is freed before swiglu's three gradients are there.
  const freed =
    lora?.dropout && loraPaths(transformerParams(c), lora).some(({ path }) => path === `${first}mlp.down_proj`) ? c.intermediate_size : 0;
  const layer = (layers > 1 ? t : n) * (perToken - freed) + (lora ? adapterActivations(c, lora, t, n, first) : 0);
  const how = `inputs of ${layers} layers: ${count(t)} tokens x ${count(c.hidden_size)} in each, and the ends, x 4`;
  return { kept, working: Math.max(head, layer + inLayer), how };
}

/** Beside what is kept: logits and gradients of a chunk of the head, or the gradients inside one layer. */
function workingMemory(c: TransformerConfig, work: Workload): { head: number; inLayer: number } {
  const { tokensPerPass: t, targetsPerPass: n } = work;
  const packing = packs(work);
  return {
    head: chunkRows(c, n) * c.vocab_size + n * c.hidden_size + (packing ? c.vocab_size * c.hidden_size : 0),
    inLayer:
      (c.num_hidden_layers > 1 ? t : n) * (3 * c.intermediate_size + 2 * c.hidden_size) +
      (packing ? c.intermediate_size * c.hidden_size : 0),
  };
}

/** What the adapted projections keep: x A^T, and the input after dropout if there is one. `under`: of the paths that begin so. */
function adapterActivations(c: TransformerConfig, lora: LoraConfig, tokens: number, targets: number, under = ''): number {
  const last = `model.layers.${c.num_hidden_layers - 1}.`;
  const paths = loraPaths(transformerParams(c), lora).filter((p) => p.path.startsWith(under));
  return sum(
    paths.map((p) => {
      const pastAttention = p.path.startsWith(last) && /\.(o_proj|gate_proj|up_proj|down_proj)$/.test(p.path);
      return (pastAttention ? targets : tokens) * (lora.r + (lora.dropout > 0 ? p.in : 0));
    }),
  );
}

const generationsOf = (work: Workload): readonly Generation[] => [work, ...(work.others ?? [])];

/** Sequences that are sampled at a time. */
const batchOf = ({ prompts, numGenerations, children = numGenerations }: Generation): number =>
  Math.min(CACHE.maxBatch, prompts * children);

interface CachePlan {
  readonly bytes: number;
  /** The cache may not outgrow it. */
  readonly limit: number;
  /** Of what cannot be cut: a prompt with one completion, a tree. */
  readonly least: number;
  readonly uncut: string;
  readonly how: string;
}

/** Keys and values: blocks of 4 tokens, a prompt's shared, capacity doubling from 256 blocks on. `room`: bytes that are left for them. */
function planCache(c: TransformerConfig, generations: readonly Generation[], room: number): CachePlan {
  const [layers, width] = [c.num_hidden_layers, c.num_key_value_heads * c.head_dim];
  const block = F32 * 2 * layers * CACHE.blockSize * width;
  const blocksOf = ({ promptLength, completionLength }: Generation, branches: number) =>
    branchedBlocks(CACHE.blockSize, promptLength, branches, completionLength);
  const uncutOf = (g: Generation) => blocksOf(g, g.children === undefined ? 1 : g.numGenerations);
  const wantedBy = (g: Generation) => g.prompts * blocksOf(g, g.numGenerations);
  const most = (by: (g: Generation) => number) => generations.reduce((a, b) => (by(b) > by(a) ? b : a));
  const [largest, uncut] = [most(wantedBy), most(uncutOf)];
  const [wanted, least] = [wantedBy(largest), uncutOf(uncut)];
  // Growing leaves the old half behind as holes, which may be too small for anything else.
  const limit = Math.max(least, Math.floor(Math.min(CACHE.maxBytes, (2 / 3) * room) / block));
  let blocks: number = FIRST_BLOCKS;
  while (blocks < wanted) blocks *= 2;
  const { prompts, promptLength, numGenerations, completionLength, children } = largest;
  const branches = children === undefined ? `shared by ${numGenerations} completions` : `with trees of ${numGenerations} steps`;
  const what = `${prompts} prompts of ${promptLength} ${branches} of ${completionLength}`;
  const bytes = block * Math.min(blocks, limit);
  const cut = wanted > limit ? ` are ${showBytes(block * wanted)}: sampled in parts` : '';
  return {
    bytes,
    limit: block * limit,
    least: block * least,
    uncut: uncut.children === undefined ? 'a prompt with one completion' : 'a prompt with its tree',
    how: `${what}, ${layers} layers x 2 x ${width} x 4${cut}`,
  };
}

/** Elements in use inside a layer of the prefill, and while a batch is sampled. */
function generation(c: TransformerConfig, work: Workload, g: Generation): [prefill: number, sampled: number] {
  const rows = Math.min(CACHE.prefillRows, g.prompts * g.promptLength);
  const [q, kv] = [c.num_attention_heads * c.head_dim, c.num_key_value_heads * c.head_dim];
  const normed = c.model_type === 'qwen3' ? q + kv : 0;
  // A layer's tensors live to its end: input, two norms and two sums; q and k, turned, v and o; gate and its product with up. And the blocks of
  // each row's sequence.
  const layer =
    5 * c.hidden_size +
    3 * q +
    (3 + copiesOfValues(c, work)) * kv +
    normed +
    2 * c.intermediate_size +
    Math.ceil(g.promptLength / CACHE.blockSize);
  // down_proj ends a layer.
  const [down, head] = packs(work) ? [c.intermediate_size * c.hidden_size, c.vocab_size * c.hidden_size] : [0, 0];
  return [rows * layer + down, batchOf(g) * (c.vocab_size + 2 * c.hidden_size) + head];
}

/** Bytes as people say them, decimal: `15.2 GB`. */
export const showBytes = (bytes: number): string => (bytes >= 1e9 ? `${(bytes / 1e9).toFixed(1)} GB` : `${(bytes / 1e6).toFixed(1)} MB`);

type Device = Pick<DeviceInfo, 'backend' | 'adapter' | 'maxBufferBytes' | 'maxBindingBytes'>;

/**
 * Whether a plan fits a device, with the arithmetic and, where it does not, what to try. WebAssembly has one memory, whose size is its
 * largest buffer; of a GPU only the limit of a single buffer is known.
 */
export function verdict(plan: MemoryPlan, info: Device): { readonly fits: boolean; readonly text: string } {
  const limit = Math.min(info.maxBufferBytes, info.maxBindingBytes);
  const { advice } = plan;
  const terms = plan.lines.filter((l) => l.bytes > plan.bytes / 100).map((l) => `${showBytes(l.bytes)} for ${l.name}`);
  const needs = `needs ${terms.join(' + ')} = ${showBytes(plan.bytes)}`;
  if (info.backend === 'wasm') {
    const has = `${info.adapter} has ${showBytes(limit)} in one memory`;
    return plan.bytes > limit ? { fits: false, text: `${needs}; ${has}; ${advice}` } : { fits: true, text: `${needs}; ${has}: it fits` };
  }
  const { name, bytes, how } = plan.largest;
  const buffer = `a buffer of ${showBytes(bytes)} for ${name} (${how}); ${info.adapter} binds at most ${showBytes(limit)}`;
  if (bytes > limit) return { fits: false, text: `needs ${buffer}; ${advice}` };
  return { fits: true, text: `${needs}, and ${buffer}: its buffers fit; how much memory it has WebGPU does not say` };
}

/** Refuses what cannot fit a device. @throws ModelConfigError with the text of {@link verdict} */
export function checkFits(plan: MemoryPlan, info: Device): void {
  const { fits, text } = verdict(plan, info);
  if (!fits) throw new ModelConfigError(text);
}
