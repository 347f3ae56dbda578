/** A language model with its words: the transformer, its generation engine and its tokenizer, on one device. */
import type { Backend, Context, Engine, SeqId, Transformer } from '@eagrl/runtime';
import type { Chat } from './text/chat.ts';
import { TAGS } from './text/special_tokens.ts';
import { stopWatch } from './text/text_stream.ts';
import type { Tokenizer } from './text/tokenizer.ts';

export interface Policy {
  readonly backend: Backend;
  readonly ctx: Context;
  readonly model: Transformer;
  readonly engine: Engine;
  readonly tokenizer: Tokenizer;
  readonly chat: Chat;
  /** Ids that end a turn, the usual one first. */
  readonly endTokens: readonly number[];
}

export interface SamplingOptions {
  readonly temperature: number;
  readonly topK: number;
  readonly topP: number;
}

/** One sampled continuation. */
export interface Rollout {
  /** Token ids after the prompt; the stop token, or those that spell the stop string, included when one was met. */
  readonly tokens: Uint32Array;
  /** Log-prob of each token under the processed distribution it was drawn from. */
  readonly logprobs: Float32Array;
  /** Entropy in nats of the policy at each token. */
  readonly entropies: Float32Array;
  readonly text: string;
  /** False when the token limit cut it short. */
  readonly stopped: boolean;
}

/** Token ids of a task's prompt in its chat frame: what generation starts from. */
export const promptTokens = ({ tokenizer, chat }: Pick<Policy, 'tokenizer' | 'chat'>, prompt: string): Uint32Array =>
  tokenizer.encode(chat.prompt(prompt));

/** Where a generation ends: at a token, or with the token that completes a text. */
export interface Stops {
  readonly stopTokens: readonly number[];
  readonly stopStrings: readonly string[];
}

/** Stops at the end of the turn and before it at each of `tags`: by its id where it is one token of the vocabulary, else by its text. */
export function tagStops({ tokenizer, endTokens }: Pick<Policy, 'tokenizer' | 'endTokens'>, tags: readonly string[]): Stops {
  const single = tags.filter((tag) => tokenizer.has(tag));
  return {
    stopTokens: [...single.map((tag) => tokenizer.idOf(tag)), ...endTokens],
    stopStrings: tags.filter((tag) => !single.includes(tag)),
  };
}

/** Where an answer ends: at the end of the turn, and before it at the answer's closing tag. */
export const answerStops = (policy: Pick<Policy, 'tokenizer' | 'endTokens'>): Stops => tagStops(policy, [TAGS.finalAnswer[1]]);

/**
 * `numGenerations` completions for each prompt, all in lockstep, the prompt's KV cache shared by its completions.
 * The random stream of completion g of prompt i is `streams[i] + g`: any rollout can be replayed alone.
 */
export async function generate(
  { engine, tokenizer }: Policy,
  prompts: readonly Uint32Array[],
  options: SamplingOptions &
    Stops & {
      readonly numGenerations: number;
      readonly maxTokens: number;
      readonly seed: number;
      readonly streams: readonly number[];
    },
): Promise<Rollout[][]> {
  const { numGenerations, maxTokens, stopTokens, stopStrings, seed, streams } = options;
  const roots = engine.open(prompts);
  const seqs: SeqId[] = [];
  for (const root of roots) for (let g = 0; g < numGenerations; g++) seqs.push(g + 1 < numGenerations ? engine.fork(root) : root);
  const completions = await engine.sample(
    seqs.map((seq, i) => ({
      seq,
      maxTokens,
      stopTokens,
      stopAfter: stopWatch(tokenizer, stopStrings),
      seed,
      stream: streams[Math.floor(i / numGenerations)] + (i % numGenerations),
    })),
    options,
  );
  for (const seq of seqs) engine.release(seq);
  return prompts.map((_, i) =>
    completions.slice(i * numGenerations, (i + 1) * numGenerations).map((c) => ({
      tokens: c.tokens,
      logprobs: c.logprobs,
      entropies: c.entropies,
      text: tokenizer.decode(c.tokens),
      stopped: c.finished === 'stop',
    })),
  );
}
