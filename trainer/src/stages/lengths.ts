/** How many tokens a config may ask a model for, from the longest prompt on. */
import type { Config } from '../config/schema.ts';
import { SPLIT_NAMES } from '../data/splits.ts';
import { SHORT_TEXT } from '../mcts/search.ts';
import { type Policy, promptTokens } from '../policy.ts';
import type { Task } from '../tasks/task.ts';
import { ConfigError } from '../util/errors.ts';
import { MAX_TOKENS } from './train_loop.ts';

/** Tokens of every prompt of the task, shortest first. */
export const promptLengths = (task: Task, words: Pick<Policy, 'tokenizer' | 'chat'>): number[] =>
  SPLIT_NAMES.flatMap((split) =>
    Array.from({ length: task.numExamples(split) }, (_, i) => promptTokens(words, task.getExample(split, i).prompt).length),
  ).sort((a, b) => a - b);

/** Tokens of a search path after its prompt at the most: what distillation trains on. Probes cost no more than a step each. */
export const pathTokens = ({ mcts }: Pick<Config, 'mcts'>): number => mcts.max_depth * mcts.max_step_tokens + SHORT_TEXT;

/** Tokens of one forward and backward pass at most: MAX_TOKENS, and more where the longest prompt with a completion is longer, since that cannot be cut. */
export const tokensPerPass = (config: Pick<Config, 'mcts' | 'rl'>, longestPrompt: number): number =>
  Math.max(MAX_TOKENS, longestPrompt + Math.max(config.rl.max_completion_length, pathTokens(config)));

/** @throws ConfigError when the longest prompt with a completion exceeds the model's context. */
export function checkContext(config: Pick<Config, 'mcts' | 'rl' | 'eval'>, longestPrompt: number, context: number): void {
  const room = Math.max(config.rl.max_completion_length, config.eval.max_completion_length, pathTokens(config));
  if (longestPrompt + room > context) {
    throw new ConfigError(
      `prompt of ${longestPrompt} tokens and up to ${room} completion tokens exceed the model's context of ${context}; ` +
        'lower prompt.last_visits, use prompt.form compact, or lower the completion lengths',
    );
  }
}
