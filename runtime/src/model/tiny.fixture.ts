/**
 * A transformer of two layers and odd sizes, batches for it, and devices: of small bindings, of no memory, without epilogues. Shared by several
 * tests.
 */
import { EPILOGUE, entryOf } from '@eagrl/kernels';
import { type Random, SEPARATE } from '@eagrl/testing';
import type { Backend, Slice } from '../backend.ts';
import type { Context } from '../context.ts';
import { DeviceError } from '../errors.ts';
import type { PromptGroup } from '../pack.ts';
import { parseTransformerConfig, type TransformerConfig } from './config.ts';

/** Grouped queries (4 heads, 2 shared), q/k/v biases; head_dim is not hidden_size / heads. */
export const tinyConfig = (overrides: Readonly<Record<string, unknown>> = {}): TransformerConfig =>
  parseTransformerConfig({
    model_type: 'qwen2',
    vocab_size: 37,
    hidden_size: 24,
    intermediate_size: 20,
    num_hidden_layers: 2,
    num_attention_heads: 4,
    num_key_value_heads: 2,
    head_dim: 8,
    max_position_embeddings: 96,
    rope_theta: 10_000,
    tie_word_embeddings: true,
    ...overrides,
  });

/** A prompt with three completions, one without, one with a single token; ids repeat. */
export function tinyGroups(random: Random, vocab = 37): PromptGroup[] {
  const tokens = (n: number) => random.ints(n, vocab);
  return [
    { prompt: tokens(5), completions: [tokens(3), tokens(1), tokens(6)] },
    { prompt: tokens(2), completions: [] },
    { prompt: tokens(3), completions: [tokens(1)] },
  ];
}

/** What `make` gives on a device that binds at most so many bytes at once. */
export function withBinding<T>({ backend }: Context, bytes: number, make: () => T): T {
  const { maxBindingBytes } = backend.info;
  Object.assign(backend.info, { maxBindingBytes: bytes });
  try {
    return make();
  } finally {
    Object.assign(backend.info, { maxBindingBytes });
  }
}

/** Whether `call` fails where the device has no memory for allocation `n` of it; false: it makes fewer. */
export async function failsAt(backend: Backend, n: number, call: () => unknown): Promise<boolean> {
  const noMemory = new DeviceError('no memory');
  const alloc = backend.alloc.bind(backend);
  let left = n;
  Object.assign(backend, {
    alloc: (length: number) => {
      if (left-- === 0) throw noMemory;
      return alloc(length);
    },
  });
  try {
    await call();
    return false;
  } catch (error) {
    if (error !== noMemory) throw error;
    return true;
  } finally {
    Reflect.deleteProperty(backend, 'alloc');
  }
}

/**
 * What `call` gives, and how many products had an epilogue, where each of them is launched without, and the kernel that it stands for after
 * it, as if products had none.
 */
export async function withoutEpilogues<T>(backend: Backend, call: () => Promise<T>): Promise<{ result: T; separated: number }> {
  const dispatch = backend.dispatch.bind(backend);
  let separated = 0;
  const separate: Backend['dispatch'] = (spec, name, slices, params) => {
    if (!params.epilogue) {
      dispatch(spec, name, slices, params);
      return;
    }
    separated++;
    dispatch(spec, name, slices, { ...params, epilogue: EPILOGUE.none });
    const [c] = slices;
    const aux = slices[entryOf(spec, name).bindings.findIndex((b) => b.name === 'aux')];
    const y: Slice = { buffer: backend.alloc(c.length), offset: 0, length: c.length };
    const { spec: after, entry } = SEPARATE[params.epilogue];
    dispatch(after, entry, [y, aux, c], { n: c.length });
    const ld = params.ldc ?? params.n;
    for (let i = 0; i < params.m; i++) {
      backend.copy(
        { buffer: c.buffer, offset: c.offset + i * ld, length: params.n },
        { buffer: y.buffer, offset: i * ld, length: params.n },
      );
    }
    backend.free(y.buffer);
  };
  Object.assign(backend, { dispatch: separate });
  try {
    return { result: await call(), separated };
  } finally {
    Reflect.deleteProperty(backend, 'dispatch');
  }
}
