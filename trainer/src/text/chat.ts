/** How a model is spoken to: one user turn, then the assistant's; by the model's own template, or in ChatML. */

import { Template } from '@huggingface/jinja';
import { IM_END, IM_START } from './special_tokens.ts';

export interface Chat {
  /** What a generation starts from: a user turn, and the opening of the assistant's. */
  prompt(text: string): string;
  /** A follow-up user turn after an assistant's text that has just ended (without its end token), and the next opening. */
  followUp(text: string): string;
}

/** A template, or what it was given, cannot be rendered. */
export class ChatTemplateError extends Error {
  override readonly name = 'ChatTemplateError';
}

/** ChatML without tools or system turn: `<|im_start|>user\n{prompt}<|im_end|>\n<|im_start|>assistant\n`. */
export const CHATML_TEMPLATE =
  `{% for message in messages %}{{ '${IM_START}' + message['role'] + '\\n' + message['content'] + '${IM_END}\\n' }}{% endfor %}` +
  `{% if add_generation_prompt %}{{ '${IM_START}assistant\\n' }}{% endif %}`;

/** The frame of the base policy and of its pretraining corpus: what {@link CHATML_TEMPLATE} renders. */
export function chatPrompt(prompt: string): string {
  return `${IM_START}user\n${prompt}${IM_END}\n${IM_START}assistant\n`;
}

/** {@link Chat.followUp} of the base policy's frame. */
export function chatFollowUp(prompt: string): string {
  return `${IM_END}\n${chatPrompt(prompt)}`;
}

/** Stand-ins for texts that a template must carry through unchanged. */
const QUESTION = 'question-7f3a';
const ANSWER = 'answer-7f3a';

/**
 * Llama 3.2's template writes today's date into the prompt unless it is given one; a run must not depend on its day. This is the date
 * that Llama 3.1's template falls back to.
 */
const DATE = '26 Jul 2024';

/**
 * A Hugging Face chat template. `tokens`: the texts of bos_token, eos_token and the like.
 * @throws ChatTemplateError when it is no Jinja, fails on a plain exchange, or drops the user's text.
 */
export function templateChat(source: string, tokens: Readonly<Record<string, string>> = {}): Chat {
  const failed = (error: unknown) => new ChatTemplateError(`chat template: ${(error as Error).message.split('\n')[0]}`);
  let template: Template;
  try {
    template = new Template(source);
  } catch (error) {
    throw failed(error);
  }
  const render = (...turns: readonly string[]): string => {
    const messages = turns.map((content, i) => ({ role: i % 2 === 0 ? 'user' : 'assistant', content }));
    try {
      return template.render({ ...tokens, messages, add_generation_prompt: true, date_string: DATE });
    } catch (error) {
      throw failed(error);
    }
  };
  if (!render(QUESTION).includes(QUESTION)) throw new ChatTemplateError('chat template: the text of a user turn is not in what it renders');
  const followUp = (text: string): string => {
    const before = render(QUESTION) + ANSWER;
    const whole = render(QUESTION, ANSWER, text);
    if (!whole.startsWith(before))
      throw new ChatTemplateError('chat template: an answered turn does not begin as the generation prompt does');
    return whole.slice(before.length);
  };
  return { prompt: (text) => render(text), followUp };
}
