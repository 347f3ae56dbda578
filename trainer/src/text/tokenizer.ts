/** Text to token ids and back, by a standard `tokenizer.json` (our own, or that of a Qwen2 or Llama checkpoint). */

import { Tokenizer as HfTokenizer } from '@huggingface/tokenizers';

/** The parts of a `tokenizer.json` this class relies on; everything else is kept as it is. */
export interface TokenizerJson {
  readonly added_tokens: readonly { readonly id: number; readonly content: string; readonly special: boolean }[];
  readonly model: { readonly type: string; readonly vocab: Readonly<Record<string, number>>; readonly [part: string]: unknown };
  readonly [part: string]: unknown;
}

/** Thin wrapper of @huggingface/tokenizers: no implicit special tokens, nothing cleaned up, ids as Uint32Array. */
export class Tokenizer {
  /** Number of ids, special tokens included: the largest id + 1. */
  readonly vocabSize: number;
  private readonly inner: HfTokenizer;

  private constructor(json: TokenizerJson) {
    this.inner = new HfTokenizer(withUnicodeClasses(json), { clean_up_tokenization_spaces: false });
    let last = -1;
    for (const id of Object.values(json.model.vocab)) last = Math.max(last, id);
    for (const { id } of json.added_tokens) last = Math.max(last, id);
    this.vocabSize = last + 1;
  }

  /** Throws TypeError when `json` is no tokenizer.json of a BPE model. */
  static fromJson(json: unknown): Tokenizer {
    const candidate = json as Partial<TokenizerJson> | null;
    if (candidate?.model?.type !== 'BPE' || typeof candidate.model.vocab !== 'object' || !Array.isArray(candidate.added_tokens)) {
      throw new TypeError('Tokenizer.fromJson: expected a tokenizer.json with a BPE model and added_tokens');
    }
    return new Tokenizer(candidate as TokenizerJson);
  }

  /** Token ids of a text; special tokens written in it become their id. */
  encode(text: string): Uint32Array {
    return Uint32Array.from(this.inner.encode(text, { add_special_tokens: false }).ids);
  }

  /** Text of token ids, special tokens included. Bytes that are no UTF-8 become U+FFFD. */
  decode(ids: ArrayLike<number>): string {
    if (ids.length === 0) return '';
    return this.inner.decode(Array.from(ids), { skip_special_tokens: false, clean_up_tokenization_spaces: false });
  }

  /** Whether a text is one token of the vocabulary. */
  has(token: string): boolean {
    return this.inner.token_to_id(token) !== undefined;
  }

  /** Id of a token as it stands in the vocabulary, such as `<|im_end|>`. Throws RangeError when there is none. */
  idOf(token: string): number {
    const id = this.inner.token_to_id(token);
    if (id === undefined) throw new RangeError(`Tokenizer.idOf: no token "${token}" in the vocabulary`);
    return id;
  }
}

/** GPT-2's split, which `ByteLevel` makes unless `use_regex` is false; `\s` is rewritten below. */
const GPT2_SPLIT = String.raw`'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`;

const split = (regex: string) => ({ type: 'Split', pattern: { Regex: regex }, behavior: 'Isolated', invert: false });

/**
 * The pre-tokenizers where JavaScript's classes are not those of the original, written so that they are: `\s` is Unicode's White_Space
 * (without U+FEFF, with U+0085), and `Digits`, SmolLM2's, splits at every number (², Ⅷ, ١), for the library at 0-9 alone. Found by
 * test/golden/tokenizers.test.ts with @huggingface/tokenizers 0.2; goes when that passes without it.
 */
function withUnicodeClasses(json: TokenizerJson): TokenizerJson {
  const rewritten = (part: unknown): unknown => {
    if (typeof part !== 'object' || part === null) return part;
    const { type, pretokenizers, individual_digits: single, pattern, use_regex: splits, add_prefix_space: prefix } = part as PreTokenizer;
    if (Array.isArray(pretokenizers)) return { ...part, pretokenizers: pretokenizers.map(rewritten) };
    if (type === 'Digits') return split(single ? String.raw`\p{N}` : String.raw`\p{N}+`);
    if (type === 'Split' && typeof pattern?.Regex === 'string') return { ...part, pattern: { Regex: unicodeSpaces(pattern.Regex) } };
    if (type === 'ByteLevel' && splits !== false && prefix === false)
      return { type: 'Sequence', pretokenizers: [split(unicodeSpaces(GPT2_SPLIT)), { ...part, use_regex: false }] };
    return part;
  };
  return { ...json, pre_tokenizer: rewritten(json['pre_tokenizer']) };
}

interface PreTokenizer {
  readonly type?: string;
  readonly pretokenizers?: unknown;
  readonly individual_digits?: boolean;
  readonly pattern?: { readonly Regex?: unknown };
  readonly use_regex?: boolean;
  readonly add_prefix_space?: boolean;
}

/** Escapes are taken pair by pair, so that a backslash before `\s` is not mistaken for its own. */
const unicodeSpaces = (regex: string): string =>
  regex.replace(/\\[\s\S]/g, (pair) => {
    if (pair === '\\s') return '\\p{White_Space}';
    return pair === '\\S' ? '\\P{White_Space}' : pair;
  });
