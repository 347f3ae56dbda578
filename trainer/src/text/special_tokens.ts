/** Chat frame and tags of the answer grammar: tokens of their own in our tokenizer, texts of several tokens in any other. */

export const END_OF_TEXT = '<|endoftext|>';
export const IM_START = '<|im_start|>';
/** Ends every turn; generation stops here. */
export const IM_END = '<|im_end|>';

/** Opening and closing tag of each part of an answer. */
export const TAGS = {
  subquestion: ['<Subquestion>', '</Subquestion>'],
  answer: ['<Answer>', '</Answer>'],
  finalSubquestion: ['<Final subquestion>', '</Final subquestion>'],
  importantFeatures: ['<Important Features>', '</Important Features>'],
  finalAnswer: ['<Final answer>', '</Final answer>'],
} as const;

/** All special tokens in the order of their ids. */
export const SPECIAL_TOKENS: readonly string[] = [END_OF_TEXT, IM_START, IM_END, ...Object.values(TAGS).flat()];
