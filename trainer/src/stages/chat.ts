/** eagrl chat: a conversation with a model, with or without an adapter. (Node edge.) */
import { existsSync } from 'node:fs';
import {
  Context,
  checkFits,
  EngineError,
  type SamplingOptions as EngineSampling,
  type LoraConfig,
  openDevice,
  planGeneration,
  type SeqId,
  transformerParams,
  type WeightType,
} from '@eagrl/runtime';
import type { Config } from '../config/schema.ts';
import { destroyPolicy, type ModelSource, readWords } from '../model_source.ts';
import type { Policy } from '../policy.ts';
import { checkAdapter, loadAdapter, readAdapterFolder, withAdapter } from '../run/adapter_folder.ts';
import { BASE_POLICY, checkModelFolder, loadPolicy, readModelFolder } from '../run/model_folder.ts';
import { type ChatMessage, ChatTemplateError } from '../text/chat.ts';
import { TextStream } from '../text/text_stream.ts';
import { ConfigError } from '../util/errors.ts';
import { yieldToEvents } from '../util/event_loop.ts';
import { ahead } from './ahead.ts';

export interface ChatSettings extends EngineSampling {
  /** Tokens of one answer at most. */
  readonly maxNewTokens: number;
  readonly seed: number;
  /** Text of a system turn before the conversation. */
  readonly system?: string;
}

export interface ChatReply {
  readonly numTokens: number;
  readonly seconds: number;
  /** `aborted`: the signal asked for it; what was said by then stays in the conversation. */
  readonly finished: 'stop' | 'length' | 'aborted';
}

/** A conversation. The keys and values of what was said are kept as long as the template only adds to it. It frees its policy. */
export class ChatSession {
  #policy: Policy;
  readonly #settings: ChatSettings;
  #messages: ChatMessage[] = [];
  #open: { readonly seq: SeqId; readonly tokens: Uint32Array } | null = null;
  /** Answers so far: each draws from a stream of its own. */
  #answers = 0;

  constructor(policy: Policy, settings: ChatSettings) {
    this.#policy = policy;
    this.#settings = settings;
    this.reset();
  }

  /** Forgets the conversation; the system turn stays. The next answer draws as the first one did. */
  reset(): void {
    const { system } = this.#settings;
    this.#messages = system === undefined ? [] : [{ role: 'system', content: system }];
    this.#answers = 0;
    this.#forget();
  }

  /**
   * Goes on with the adapter of a folder, or with none, on the weights at hand; what was said stays. Gives what now answers, in words.
   * @throws ConfigError when the folder holds no adapter of this model; the session is then as it was.
   */
  adapt(folder: string | null): string {
    const adapter = folder === null ? null : readAdapterFolder(folder);
    const policy = withAdapter(this.#policy, adapter);
    this.destroy();
    this.#policy = policy;
    return adapterWords(adapter?.lora);
  }

  destroy(): void {
    this.#forget();
    destroyPolicy(this.#policy);
  }

  /**
   * The model's answer to a user's turn, piece by piece. A turn that cannot be answered leaves the conversation as it was.
   * @throws EngineError when the conversation exceeds the context; ChatTemplateError when the template refuses it.
   */
  async reply(text: string, onText: (piece: string) => void, signal: AbortSignal): Promise<ChatReply> {
    const { chat, tokenizer, engine, model, endTokens, backend } = this.#policy;
    const { maxNewTokens, seed, system: _system, ...sampling } = this.#settings;
    const messages: ChatMessage[] = [...this.#messages, { role: 'user', content: text }];
    const prompt = tokenizer.encode(chat.render(messages));
    const started = performance.now();
    const seq = this.#read(prompt);
    this.#open = { seq, tokens: prompt };
    const room = model.config.max_position_embeddings - prompt.length;
    const limit = Math.min(maxNewTokens, room);
    const stream = new TextStream(tokenizer);
    const tokens: number[] = [];
    let answer = '';
    const show = (piece: string): void => {
      answer += piece;
      if (piece !== '') onText(piece);
    };
    const stopAfter = (token: number): boolean => {
      tokens.push(token);
      if (!endTokens.includes(token)) show(stream.push(token));
      return signal.aborted;
    };
    // On wasm a signal is only seen between two calls; on WebGPU the engine reads tokens in eights.
    const perCall = backend.kind === 'webgpu' ? 8 : 1;
    let finished: ChatReply['finished'] = limit === 0 ? 'length' : 'aborted';
    while (tokens.length < limit) {
      await yieldToEvents();
      if (signal.aborted) break;
      const request = { seq, maxTokens: Math.min(perCall, limit - tokens.length), stopTokens: endTokens, seed, stream: this.#answers };
      const [completion] = await engine.sample([{ ...request, stopAfter }], sampling).catch((error) => {
        this.#forget(); // it holds this turn, from which the next one must not go on
        throw error;
      });
      if (signal.aborted) break;
      if (completion.finished === 'stop') {
        finished = 'stop';
        break;
      }
      if (tokens.length === limit) finished = 'length';
    }
    show(stream.end());
    this.#open = { seq, tokens: Uint32Array.of(...prompt, ...tokens) };
    this.#messages = [...messages, { role: 'assistant', content: answer }];
    this.#answers++;
    return { numTokens: tokens.length, seconds: (performance.now() - started) / 1000, finished };
  }

  /** A sequence that holds `prompt`: the one at hand if the prompt goes on from it, else a new one. */
  #read(prompt: Uint32Array): SeqId {
    const { engine } = this.#policy;
    const known = this.#open;
    if (known && known.tokens.length < prompt.length && known.tokens.every((t, i) => t === prompt[i])) {
      engine.append([{ seq: known.seq, tokens: prompt.subarray(known.tokens.length) }]);
      return known.seq;
    }
    this.#forget();
    return engine.open([prompt])[0];
  }

  #forget(): void {
    if (this.#open) this.#policy.engine.release(this.#open.seq);
    this.#open = null;
  }
}

/** A short turn for show. What refuses it will refuse a turn of the user's, and says so there. */
export async function rehearseChat(shadow: Policy, settings: ChatSettings): Promise<void> {
  const session = new ChatSession(shadow, { ...settings, maxNewTokens: 1 });
  await session
    .reply('Hello.', () => {}, new AbortController().signal)
    .catch((error) => {
      if (!(error instanceof EngineError || error instanceof ChatTemplateError)) throw error;
    });
}

const adapterWords = (lora: LoraConfig | undefined): string => (lora ? `adapter of rank ${lora.r}` : 'no adapter');

export interface ChatOptions {
  /** Folder of the model; null takes the adapter's base, or the policy shipped with this package. */
  readonly model: string | null;
  readonly adapter: string | null;
  readonly device: Config['device'];
  /** How the model's matrices are kept. */
  readonly dtype: WeightType;
  /** What a flag says; the rest comes from generation_config.json. */
  readonly settings: ChatSettings;
}

/** Tokens of a conversation that memory is planned for; a longer one takes more as it grows. */
const PLANNED_TOKENS = 4096;

/**
 * Loads a model and hands a conversation over. `about`: what was loaded, in words.
 * @throws ConfigError before a device is asked for anything when the folders do not fit together, and before a weight is read when the
 * device is too small for the model.
 */
export async function withChat<T>(options: ChatOptions, talk: (session: ChatSession, about: string) => Promise<T>): Promise<T> {
  const adapter = options.adapter === null ? undefined : readAdapterFolder(options.adapter);
  const path = options.model ?? (adapter ? adapter.base : BASE_POLICY);
  if (!existsSync(path)) {
    throw new ConfigError(
      options.model === null
        ? `chat: the adapter names ${path || 'no base'}, which is no folder here; give the folder of its base model: eagrl chat FOLDER --adapter ...`
        : `chat: no folder ${path}; a model is a folder on this disk with config.json, tokenizer.json and weights: nothing is downloaded`,
    );
  }
  const source = readModelFolder(path);
  checkModelFolder(source);
  const { config } = readWords(source);
  if (adapter) checkAdapter(adapter, config);
  const settings = { ...generationDefaults(source), ...options.settings };
  const backend = await openDevice({ device: options.device });
  try {
    const completionLength = Math.min(settings.maxNewTokens, config.max_position_embeddings >> 1);
    const plan = planGeneration(config, {
      lora: adapter?.lora,
      dtype: options.dtype,
      packing: backend.kind === 'wasm',
      prompts: 1,
      numGenerations: 1,
      promptLength: Math.max(1, Math.min(PLANNED_TOKENS, config.max_position_embeddings) - completionLength),
      completionLength,
    });
    checkFits(plan, backend.info);
    const policy = loadPolicy(new Context(backend), { ...source, cacheBytes: plan.cacheBytes }, adapter?.lora, options.dtype);
    if (adapter) loadAdapter(policy, adapter);
    await ahead(policy, (shadow) => rehearseChat(shadow, settings));
    const session = new ChatSession(policy, settings);
    const weights = transformerParams(config).reduce((n, { shape }) => n + shape.reduce((a, b) => a * b, 1), 0);
    const { model_type: family, max_position_embeddings: context } = config;
    const about = `${family}, ${(weights / 1e6).toFixed(1)} million weights as ${options.dtype}${adapter ? `, ${adapterWords(adapter.lora)}` : ''}, context ${context}, on ${backend.info.adapter}`;
    try {
      return await talk(session, about);
    } finally {
      session.destroy();
    }
  } finally {
    await backend.destroy();
  }
}

/** The sampling that generation_config.json asks for, by transformers' names; greedy where it says `do_sample: false`. */
function generationDefaults({ generationConfig: given }: ModelSource): EngineSampling {
  if (!given) return {};
  const named = { temperature: 'temperature', top_k: 'topK', top_p: 'topP', min_p: 'minP', repetition_penalty: 'repetitionPenalty' };
  const entries = Object.entries(named).flatMap(([key, name]) => (typeof given[key] === 'number' ? [[name, given[key]]] : []));
  return { ...Object.fromEntries(entries), ...(given['do_sample'] === false ? { temperature: 0 } : {}) };
}
