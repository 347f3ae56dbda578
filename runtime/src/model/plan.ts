/**
 * Memory of training and generation, from a config alone: which tensors exist at the moment of most use, in bytes. Nothing is loaded and no
 * device is asked. Everything is f32. plan.test.ts holds the sums against what a device counts.
 */
import type { DeviceInfo } from '../backend.ts';
import { alignUp, sizeOf } from '../tensor.ts';
import { ModelConfigError, type TransformerConfig } from './config.ts';
import { type LoraConfig, loraParams, loraPaths } from './lora.ts';
import { transformerParams } from './transformer.ts';

/** What is to be done with a model. */
export interface Workload {
  /** Undefined trains all weights. */
  readonly lora?: LoraConfig;
  /** Tokens of one forward and backward pass, and how many of them are predicted. */
  readonly tokensPerPass: number;
  readonly targetsPerPass: number;
  /** Generated at a time: prompts, completions of each, and their lengths. */
  readonly prompts: number;
  readonly numGenerations: number;
  readonly promptLength: number;
  readonly completionLength: number;
  /** WebAssembly packs the right-hand matrix of a product into a copy. */
  readonly packing: boolean;
  /** A second, frozen copy of the weights for the KL term. */
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
  /** The largest single buffer: a device has a limit for that too. */
  readonly largest: PlanLine;
}

const F32 = 4;
/** As generate/engine.ts and generate/kv_cache.ts have them. */
const CACHE = { blockSize: 16, firstBlocks: 64, maxBytes: 2 ** 30, maxBatch: 256, prefillRows: 512 } as const;
/** As ops/lm_head.ts has it: elements of logits at a time, in multiples of 64 rows. */
const LOGITS_CHUNK = 4 * 1024 * 1024;

const sum = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0);
const count = (n: number): string => n.toLocaleString('en-US');

/** Memory of a model under a workload. @throws ModelConfigError when the adapter does not fit the model. */
export function planMemory(c: TransformerConfig, work: Workload): MemoryPlan {
  const specs = transformerParams(c);
  const elements = (list: readonly { readonly shape: readonly number[] }[]) => sum(list.map((p) => alignUp(sizeOf(p.shape))));
  const weights = elements(specs);
  const trained = work.lora ? elements(loraParams(specs, work.lora)) : weights;
  const what = work.lora ? `adapter of rank ${work.lora.r}` : 'all weights';
  const cache = cacheElements(c, work);
  const { kept, working, how } = activations(c, work);
  const [prefill, sampled] = generation(c, work);
  const lines: PlanLine[] = [
    { name: 'weights', bytes: F32 * weights, how: `${count(weights)} x 4` },
    ...(work.lora ? [{ name: 'adapter', bytes: F32 * trained, how: `${count(trained)} x 4, rank ${work.lora.r}` }] : []),
    ...(work.reference
      ? [{ name: 'reference', bytes: F32 * (weights + (work.lora ? trained : 0)), how: 'the frozen policy of the KL term' }]
      : []),
    { name: 'gradients', bytes: F32 * trained, how: `${what}: ${count(trained)} x 4` },
    {
      name: 'optimiser',
      bytes: F32 * (2 * trained + Math.ceil(trained / 64) + Math.ceil(trained / 4096)),
      how: `two moments of ${count(trained)} x 4`,
    },
    {
      name: 'rotary table',
      bytes: F32 * c.max_position_embeddings * c.head_dim,
      how: `${count(c.max_position_embeddings)} positions x ${c.head_dim} x 4`,
    },
    {
      name: 'KV cache',
      bytes: F32 * cache,
      how: `${work.prompts} prompts of ${work.promptLength} shared by ${work.numGenerations} completions of ${work.completionLength}, ${c.num_hidden_layers} layers x 2 x ${c.num_key_value_heads * c.head_dim} x 4`,
    },
    ...(F32 * (kept + working) >= F32 * Math.max(prefill, sampled)
      ? [
          { name: 'activations', bytes: F32 * kept, how },
          { name: 'working memory', bytes: F32 * working, how: 'logits of a chunk, or gradients inside one layer' },
        ]
      : [{ name: 'generation', bytes: F32 * Math.max(prefill, sampled), how: 'a layer of the prefill, or the logits of a batch' }]),
  ];
  const buffers: PlanLine[] = [
    { name: 'weights', bytes: F32 * weights, how: 'one buffer' },
    { name: 'rotary table', bytes: F32 * c.max_position_embeddings * c.head_dim, how: 'one buffer' },
    { name: 'KV cache', bytes: F32 * (cache / (2 * c.num_hidden_layers)), how: 'keys of one layer' },
    { name: 'activations', bytes: F32 * work.tokensPerPass * c.intermediate_size, how: 'one layer of the MLP' },
  ];
  return {
    lines,
    bytes: sum(lines.map((l) => l.bytes)),
    largest: buffers.reduce((a, b) => (b.bytes > a.bytes ? b : a)),
  };
}

/** What the tape holds at the end of the forward pass, and the most that the backward pass needs beside it. */
function activations(c: TransformerConfig, work: Workload): { kept: number; working: number; how: string } {
  const { tokensPerPass: t, targetsPerPass: n, lora } = work;
  const [q, kv] = [c.num_attention_heads * c.head_dim, c.num_key_value_heads * c.head_dim];
  const normed = c.model_type === 'qwen3' ? q + kv + c.num_attention_heads + c.num_key_value_heads : 0;
  // Up to the attention, for every token: the norm and 1 / rms; q, k, v, turned q and k, o; attention's stats.
  const attending = c.hidden_size + 1 + 3 * q + 3 * kv + 2 * c.num_attention_heads + normed;
  // Past it: o_proj, down_proj, two sums, the norm and 1 / rms; gate, up and their product. The last layer has only the rows that are read,
  // and copies of its input and of o for them.
  const mlp = 5 * c.hidden_size + 1 + 3 * c.intermediate_size;
  const rows = t * (c.num_hidden_layers - 1) + n;
  const adapted = lora ? adapterActivations(c, lora, t, n) : 0;
  const kept = t * (c.num_hidden_layers * attending + c.hidden_size + 5) + rows * mlp + n * (2 * c.hidden_size + q + 1) + adapted;
  const chunk = Math.min(Math.max(1, Math.floor(LOGITS_CHUNK / c.vocab_size / 64)) * 64, n) * c.vocab_size;
  const inLayer =
    (c.num_hidden_layers > 1 ? t : n) * (3 * c.intermediate_size + 2 * c.hidden_size) +
    (work.packing ? c.intermediate_size * c.hidden_size : 0);
  const head = chunk + n * c.hidden_size + (work.packing ? c.vocab_size * c.hidden_size : 0);
  const how = `${c.num_hidden_layers} layers: ${count(t)} tokens x ${count(attending)} in each, ${count(rows)} x ${count(mlp)} past the attention${adapted ? `, ${count(adapted)} of the adapter` : ''}, and the ends, x 4`;
  return { kept, working: Math.max(head, inLayer), how };
}

/** What the adapted projections keep: x A^T, and the input after dropout if there is one. */
function adapterActivations(c: TransformerConfig, lora: LoraConfig, tokens: number, targets: number): number {
  const last = `model.layers.${c.num_hidden_layers - 1}.`;
  return sum(
    loraPaths(transformerParams(c), lora).map((p) => {
      const pastAttention = p.path.startsWith(last) && /\.(o_proj|gate_proj|up_proj|down_proj)$/.test(p.path);
      return (pastAttention ? targets : tokens) * (lora.r + (lora.dropout > 0 ? p.in : 0));
    }),
  );
}

/** Elements of keys and values: blocks of 16 tokens, the prompt's shared, capacity doubling from 64 blocks on. */
function cacheElements(c: TransformerConfig, work: Workload): number {
  const { blockSize, firstBlocks, maxBytes } = CACHE;
  const blocksOf = (tokens: number) => Math.ceil(tokens / blockSize);
  // A completion writes into a copy of its prompt's last block.
  const needed = work.prompts * (blocksOf(work.promptLength) + work.numGenerations * (blocksOf(work.completionLength) + 1));
  const block = blockSize * c.num_key_value_heads * c.head_dim;
  const most = Math.floor(maxBytes / (2 * c.num_hidden_layers) / (F32 * block));
  let blocks: number = firstBlocks;
  while (blocks < needed) blocks *= 2;
  return 2 * c.num_hidden_layers * Math.min(blocks, most) * block;
}

/** Elements in use inside a layer of the prefill, and while a batch is sampled. */
function generation(c: TransformerConfig, work: Workload): [prefill: number, sampled: number] {
  const rows = Math.min(CACHE.prefillRows, work.prompts * work.promptLength);
  const layer = 3 * c.hidden_size + 3 * c.intermediate_size;
  const batch = Math.min(CACHE.maxBatch, work.prompts * work.numGenerations);
  const packed = work.packing ? c.vocab_size * c.hidden_size : 0;
  return [rows * layer, batch * (c.vocab_size + 2 * c.hidden_size) + packed];
}

/** Bytes as people say them, decimal: `15.2 GB`. */
export const showBytes = (bytes: number): string => (bytes >= 1e9 ? `${(bytes / 1e9).toFixed(1)} GB` : `${(bytes / 1e6).toFixed(1)} MB`);

/**
 * Refuses what cannot fit a device. WebAssembly has one memory, whose size is its largest buffer; of a GPU only the limit of a single buffer
 * is known. @throws ModelConfigError with the arithmetic and what to try.
 */
export function checkFits(plan: MemoryPlan, info: Pick<DeviceInfo, 'backend' | 'adapter' | 'maxBufferBytes' | 'maxBindingBytes'>): void {
  const limit = Math.min(info.maxBufferBytes, info.maxBindingBytes);
  const advice = 'try model.use_peft true, fewer prompts or completions at a time, shorter ones, or a smaller model';
  if (info.backend === 'wasm' && plan.bytes > limit) {
    const terms = plan.lines.filter((l) => l.bytes > plan.bytes / 100).map((l) => `${showBytes(l.bytes)} for ${l.name}`);
    throw new ModelConfigError(
      `needs ${terms.join(' + ')} = ${showBytes(plan.bytes)}; ${info.adapter} has ${showBytes(limit)} in one memory; ${advice}`,
    );
  }
  if (plan.largest.bytes > limit) {
    throw new ModelConfigError(
      `needs a buffer of ${showBytes(plan.largest.bytes)} for ${plan.largest.name} (${plan.largest.how}); ` +
        `${info.adapter} binds at most ${showBytes(limit)}; ${advice}`,
    );
  }
}
