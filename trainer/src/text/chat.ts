/** How a model is spoken to: one user turn, then the assistant's; by the model's own template, or in ChatML. */

import { parse, Template, tokenize } from '@huggingface/jinja';
import { IM_END, IM_START } from './special_tokens.ts';

/** One turn of a conversation. */
export interface ChatMessage {
  readonly role: 'system' | 'user' | 'assistant';
  readonly content: string;
}

export interface Chat {
  /** A conversation that ends in a user's turn, and the opening of the assistant's next. */
  render(messages: readonly ChatMessage[]): string;
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

/** Rounds of all loops and calls of macros in one rendering, elements of a range, and characters of the result: templates come with models. */
const MAX_STEPS = 100_000;
const MAX_CHARACTERS = 10_000_000;
/** What every loop body and macro calls first, and what is called for `range`. */
const STEP = 'eagrl_step';
const RANGE = 'eagrl_range';

/** Makes each round of each loop, and each macro, call {@link STEP} first, and puts {@link RANGE} in the place of `range`. */
function countSteps(node: unknown): void {
  if (typeof node !== 'object' || node === null) return;
  for (const child of Object.values(node)) countSteps(child);
  const { type, body, callee } = node as { type?: string; body?: unknown[]; callee?: { type: string; value?: unknown } };
  if ((type === 'For' || type === 'Macro') && Array.isArray(body)) body.unshift(...parse(tokenize(`{{ ${STEP}() }}`)).body);
  if (callee?.type === 'Identifier' && callee.value === 'range') callee.value = RANGE;
}

/** What a template may call, with its limits; made anew for each rendering. */
function boundedGlobals(): Record<string, unknown> {
  let steps = 0;
  const step = (n: number) => {
    steps += n;
    if (steps > MAX_STEPS) throw new Error(`gave up after ${MAX_STEPS} steps; it loops`);
    return '';
  };
  const range = (from: number, to?: number, by = 1): number[] => {
    const [start, stop] = to === undefined || to === null ? [0, from] : [from, to];
    const count = Math.max(0, Math.ceil((stop - start) / by));
    if (!Number.isFinite(count)) throw new Error('range() needs whole numbers and a step other than 0');
    step(count);
    return Array.from({ length: count }, (_, i) => start + i * by);
  };
  return { [STEP]: () => step(1), [RANGE]: range };
}

/**
 * A Hugging Face chat template. It is run within bounds: MAX_STEPS rounds of loops, MAX_CHARACTERS of text. `tokens`: the texts of bos_token, eos_token and the like.
 * @throws ChatTemplateError when it is no Jinja, fails on a plain exchange, exceeds a bound, or drops the user's text.
 */
export function templateChat(source: string, tokens: Readonly<Record<string, string>> = {}): Chat {
  const failed = (error: unknown) => new ChatTemplateError(`chat template: ${(error as Error).message.split('\n')[0]}`);
  let template: Template;
  try {
    template = new Template(source);
    countSteps(template.parsed);
  } catch (error) {
    throw failed(error);
  }
  const renderAll = (messages: readonly ChatMessage[]): string => {
    let text: string;
    try {
      text = template.render({ ...tokens, messages, add_generation_prompt: true, date_string: DATE, ...boundedGlobals() });
    } catch (error) {
      throw failed(error);
    }
    if (text.length > MAX_CHARACTERS) throw new ChatTemplateError(`chat template: renders more than ${MAX_CHARACTERS} characters`);
    return text;
  };
  const render = (...turns: readonly string[]): string =>
    renderAll(turns.map((content, i) => ({ role: i % 2 === 0 ? 'user' : 'assistant', content })));
  if (!render(QUESTION).includes(QUESTION)) throw new ChatTemplateError('chat template: the text of a user turn is not in what it renders');
  const followUp = (text: string): string => {
    const before = render(QUESTION) + ANSWER;
    const whole = render(QUESTION, ANSWER, text);
    if (!whole.startsWith(before))
      throw new ChatTemplateError('chat template: an answered turn does not begin as the generation prompt does');
    return whole.slice(before.length);
  };
  return { render: renderAll, prompt: (text) => render(text), followUp };
}
