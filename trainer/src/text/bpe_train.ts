/**
 * Byte-level BPE, trained from text and written as a standard `tokenizer.json` (Qwen2's pre-tokenizer: single digits).
 *
 *     words  = split(NFC(text)), as bytes; count each distinct word
 *     repeat: merge the most frequent adjacent pair, until the vocabulary is full or no pair occurs twice
 *
 * Sennrich et al. 2016 (arXiv 1508.07909), bytes as in GPT-2. Ties go to the pair with the smaller ids: same text, same file.
 */

import type { TokenizerJson } from './tokenizer.ts';

/** Qwen2's split: contractions, words with one leading mark, single digits, punctuation runs, line ends, spaces. */
const PATTERN =
  "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";
/** The same for JavaScript, which lacks (?i:..) before ES2025. */
const JS_PATTERN = new RegExp(PATTERN.replace(/^\(\?i:[^)]*\)/, "'(?:[sS]|[tT]|[rR][eE]|[vV][eE]|[mM]|[lL][lL]|[dD])"), 'gu');

/** GPT-2's visible character for each byte: printable Latin-1 stands for itself, the rest for U+0100 upwards. */
function byteCharacters(): string[] {
  const characters: string[] = [];
  let next = 256;
  for (let byte = 0; byte < 256; byte++) {
    const visible = (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae;
    characters.push(String.fromCharCode(visible ? byte : next++));
  }
  return characters;
}

interface Word {
  ids: number[];
  readonly count: number;
}

function countWords(texts: Iterable<string>): Word[] {
  const counts = new Map<string, number>();
  for (const text of texts) {
    for (const [word] of text.normalize('NFC').matchAll(JS_PATTERN)) counts.set(word, (counts.get(word) ?? 0) + 1);
  }
  const encoder = new TextEncoder();
  return [...counts].map(([word, count]) => ({ ids: [...encoder.encode(word)], count }));
}

/** A pair of ids below 2^16 as one number. */
const pairKey = (a: number, b: number) => a * 65_536 + b;

/** Merges in order of rank, as pairs of ids; ids 0..255 are bytes, 256 + rank is the merge of that rank. */
function trainMerges(words: readonly Word[], numMerges: number): [number, number][] {
  const counts = new Map<number, number>();
  const homes = new Map<number, Set<Word>>();
  const add = (word: Word, sign: 1 | -1) => {
    for (let i = 1; i < word.ids.length; i++) {
      const key = pairKey(word.ids[i - 1], word.ids[i]);
      const count = (counts.get(key) ?? 0) + sign * word.count;
      if (count === 0) counts.delete(key);
      else counts.set(key, count);
      if (sign < 0) continue;
      const home = homes.get(key);
      if (home === undefined) homes.set(key, new Set([word]));
      else home.add(word);
    }
  };
  for (const word of words) add(word, 1);

  const merges: [number, number][] = [];
  while (merges.length < numMerges) {
    let best = -1;
    let bestCount = 1;
    for (const [key, count] of counts) {
      if (count > bestCount || (count === bestCount && best >= 0 && key < best)) {
        best = key;
        bestCount = count;
      }
    }
    if (best < 0) return merges;
    const left = Math.floor(best / 65_536);
    const right = best % 65_536;
    const merged = 256 + merges.length;
    merges.push([left, right]);
    for (const word of homes.get(best) ?? []) {
      add(word, -1);
      const ids: number[] = [];
      for (let i = 0; i < word.ids.length; i++) {
        if (word.ids[i] === left && word.ids[i + 1] === right) {
          ids.push(merged);
          i++;
        } else ids.push(word.ids[i]);
      }
      word.ids = ids;
      add(word, 1);
    }
    homes.delete(best);
  }
  return merges;
}

/**
 * Trains a tokenizer of at most `vocabSize` tokens: 256 bytes, merges, then the special tokens. Fewer when the text runs out of
 * pairs that occur twice: every word of it is then one token, and a larger vocabulary could not shorten it.
 * @param texts the corpus; special tokens inside it are cut out first and count as borders
 * @throws RangeError when the vocabulary cannot hold bytes and special tokens, or ids would not fit 16 bits
 */
export function trainTokenizer(texts: Iterable<string>, vocabSize: number, specialTokens: readonly string[]): TokenizerJson {
  const numMerges = vocabSize - 256 - specialTokens.length;
  if (!Number.isInteger(vocabSize) || numMerges < 0 || vocabSize > 65_536) {
    throw new RangeError(`trainTokenizer: expected a vocabulary of ${256 + specialTokens.length}..65536 tokens, got ${vocabSize}`);
  }
  const escaped = specialTokens.map((token) => token.replace(/[\\^$.*+?()[\]{}|]/g, '\\$&'));
  const border = new RegExp(escaped.join('|'), 'g');
  function* pieces(): Generator<string> {
    for (const text of texts) yield* specialTokens.length === 0 ? [text] : text.split(border);
  }
  const merges = trainMerges(countWords(pieces()), numMerges);

  const tokens = byteCharacters();
  for (const [left, right] of merges) tokens.push(tokens[left] + tokens[right]);
  const vocab: Record<string, number> = {};
  tokens.forEach((token, id) => {
    vocab[token] = id;
  });
  return {
    version: '1.0',
    truncation: null,
    padding: null,
    added_tokens: specialTokens.map((content, i) => ({
      id: tokens.length + i,
      content,
      single_word: false,
      lstrip: false,
      rstrip: false,
      normalized: false,
      special: true,
    })),
    normalizer: { type: 'NFC' },
    pre_tokenizer: {
      type: 'Sequence',
      pretokenizers: [
        { type: 'Split', pattern: { Regex: PATTERN }, behavior: 'Isolated', invert: false },
        { type: 'ByteLevel', add_prefix_space: false, trim_offsets: false, use_regex: false },
      ],
    },
    post_processor: null,
    decoder: { type: 'ByteLevel', add_prefix_space: false, trim_offsets: false, use_regex: false },
    model: {
      type: 'BPE',
      dropout: null,
      unk_token: null,
      continuing_subword_prefix: '',
      end_of_word_suffix: '',
      fuse_unk: false,
      byte_fallback: false,
      ignore_merges: false,
      vocab,
      merges: merges.map(([left, right]) => [tokens[left], tokens[right]]),
    },
  };
}
