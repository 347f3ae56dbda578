/** A language model with its words: the transformer, its generation engine and its tokenizer, on one device. */
import { type Backend, branchedBlocks, type Context, type Engine, type Transformer } from '@eagrl/runtime';
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

/** Completions [from, to) of a prompt. */
interface Share {
  readonly prompt: number;
  readonly from: number;
  readonly to: number;
}

/** All completions, in order, in parts that the cache has room for; the prompt of a group that is cut is read again for each part of it. */
function partsThatFit(engine: Engine, prompts: readonly Uint32Array[], numGenerations: number, maxTokens: number): Share[][] {
  const { available, blockSize } = engine.cacheUse;
  const parts: Share[][] = [];
  let left = 0;
  for (const [prompt, { length }] of prompts.entries()) {
    const blocks = (completions: number) => branchedBlocks(blockSize, length, completions, maxTokens);
    for (let from = 0; from < numGenerations; ) {
      const rest = numGenerations - from;
      // A group that fits whole is not cut. What does not fit alone is left to the engine to refuse.
      if (parts.length === 0 || blocks(blocks(rest) <= available ? rest : 1) > left) {
        parts.push([]);
        left = available;
      }
      const fit = Math.floor((left - blocks(0)) / (blocks(1) - blocks(0)));
      const to = from + Math.max(1, Math.min(rest, fit));
      parts[parts.length - 1].push({ prompt, from, to });
      left -= blocks(to - from);
      from = to;
    }
  }
  return parts;
}

/**
 * `numGenerations` completions for each prompt, in lockstep as far as the KV cache has room, the prompt's part of it shared by its
 * completions. The random stream of completion g of prompt i is `streams[i] + g`: any rollout can be replayed alone, and none depends on
 * what it is sampled with.
 */
export async function generate(
  { engine, tokenizer }: Pick<Policy, 'engine' | 'tokenizer'>,
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
  const rollouts = prompts.map((): Rollout[] => []);
  for (const part of partsThatFit(engine, prompts, numGenerations, maxTokens)) {
    const roots = engine.open(part.map(({ prompt }) => prompts[prompt]));
    const sequences = part.flatMap(({ prompt, from, to }, i) =>
      Array.from({ length: to - from }, (_, g) => ({
        prompt,
        seq: from + g + 1 < to ? engine.fork(roots[i]) : roots[i],
        stream: streams[prompt] + from + g,
      })),
    );
    const completions = await engine.sample(
      sequences.map(({ seq, stream }) => ({ seq, stream, seed, maxTokens, stopTokens, stopAfter: stopWatch(tokenizer, stopStrings) })),
      options,
    );
    sequences.forEach(({ prompt, seq }, i) => {
      engine.release(seq);
      const { tokens, logprobs, entropies, finished } = completions[i];
      rollouts[prompt].push({ tokens, logprobs, entropies, text: tokenizer.decode(tokens), stopped: finished === 'stop' });
    });
  }
  return rollouts;
}
