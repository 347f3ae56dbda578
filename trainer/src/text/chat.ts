/** The ChatML frame of Qwen2: one user turn, then the assistant's. */

import { IM_END, IM_START } from './special_tokens.ts';

/** What a generation starts from: `<|im_start|>user\n{prompt}<|im_end|>\n<|im_start|>assistant\n`. */
export function chatPrompt(prompt: string): string {
  return `${IM_START}user\n${prompt}${IM_END}\n${IM_START}assistant\n`;
}

/** A follow-up user turn after an assistant's text that has just ended (without its end token). */
export function chatFollowUp(prompt: string): string {
  return `${IM_END}\n${chatPrompt(prompt)}`;
}
