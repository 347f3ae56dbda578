/**
 * Yes/no probes: what the search asks the policy about its own steps, read from the logits of one position.
 * P(Yes) = softmax over the logits of "Yes" and "No" alone. The texts are part of the pretraining corpus.
 *
 * A probe continues the search's own context (chat prompt and steps so far), so its key-value cache is shared.
 */

import { formatStep, type Step } from './answer.ts';
import { type Chat, chatFollowUp, chatPrompt } from './chat.ts';
import { TAGS } from './special_tokens.ts';
import type { Tokenizer } from './tokenizer.ts';

/** Asked after a sub-question. */
export const USEFUL_QUESTION = 'Is this sub-question useful? Answer Yes or No.';
/** Asked after a sub-question and its answer. */
export const CORRECT_QUESTION = 'Is this answer correct? Answer Yes or No.';

/** Text after the context of a search node (chat prompt and earlier steps) that asks whether `question` helps. */
export function usefulProbe(question: string, followUp: Chat['followUp'] = chatFollowUp): string {
  return `${TAGS.subquestion[0]}${question}${TAGS.subquestion[1]}${followUp(USEFUL_QUESTION)}`;
}

/** Text after the context of a search node that asks whether the step's answer is right. */
export function correctProbe(step: Step): string {
  return `${formatStep(step).trimEnd()}${chatFollowUp(CORRECT_QUESTION)}`;
}

/** The context of a search node: chat prompt, then the steps so far. */
export function searchContext(prompt: string, steps: readonly Step[]): string {
  return chatPrompt(prompt) + steps.map(formatStep).join('');
}

/**
 * Ids of the two answers, or of their first tokens where the tokenizer splits them. Throws RangeError when both begin with the same token:
 * one position could not tell them apart.
 */
export function probeTokens(tokenizer: Tokenizer): { yes: number; no: number } {
  const [yes, no] = ['Yes', 'No'].map((word) => tokenizer.encode(word)[0]);
  if (yes === no) throw new RangeError('probeTokens: "Yes" and "No" begin with the same token; use another tokenizer');
  return { yes, no };
}
