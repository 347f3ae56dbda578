/**
 * Plan: trainer/src/text against the `tokenizers` library and transformers' chat templates (tokenizers.py), for tokenizers with the
 * normaliser and pre-tokenizer of Qwen2, Llama 3 and SmolLM2.
 *   ids of 200 texts: English, Chinese, Korean, Thai, Arabic, combining marks, emoji, digits, spaces, special tokens, broken UTF-8
 *   texts of random ids, most of them no UTF-8; the ids of each text as a user's turn; whole exchanges with and without a system turn
 */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { type ChatMessage, templateChat } from '../../trainer/src/text/chat.ts';
import { Tokenizer } from '../../trainer/src/text/tokenizer.ts';

interface Family {
  bos_token: string;
  eos_token: string;
  template: string;
  ids: number[][];
  decoded: { ids: number[]; text: string }[];
  chats: { messages: ChatMessage[]; text: string; ids: number[] }[];
  chat_digests: string[];
}

const read = (file: string) => JSON.parse(readFileSync(new URL(file, import.meta.url), 'utf8'));
const golden = read('tokenizers.json') as { texts: string[] } & Record<string, Family>;
const digest = (ids: ArrayLike<number>): string => createHash('sha256').update(Array.from(ids).join()).digest('hex').slice(0, 16);

describe.each(['qwen2', 'llama3', 'smollm2'])('%s', (name) => {
  const { ids, decoded, chats, chat_digests: digests, template, ...tokens } = golden[name];
  const tokenizer = Tokenizer.fromJson(read(`tokenizer_${name}.json`));
  const chat = templateChat(template, { bos_token: tokens.bos_token, eos_token: tokens.eos_token });

  test('200 texts', () => {
    expect(golden.texts).toHaveLength(200);
    for (const [i, text] of golden.texts.entries()) expect([...tokenizer.encode(text)], JSON.stringify(text)).toEqual(ids[i]);
  });
  test('texts of ids', () => {
    for (const { ids: some, text } of decoded) expect(tokenizer.decode(some), some.join()).toBe(text);
    expect(decoded.filter(({ text }) => text.includes('\uFFFD')).length).toBeGreaterThan(20);
  });
  test('200 user turns', () => {
    for (const [i, text] of golden.texts.entries())
      expect(digest(tokenizer.encode(chat.prompt(text))), JSON.stringify(text)).toBe(digests[i]);
  });
  test('exchanges', () => {
    for (const { messages, text, ids: want } of chats) {
      expect(chat.render(messages)).toBe(text);
      expect([...tokenizer.encode(text)]).toEqual(want);
    }
  });
});
