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
    this.inner = new HfTokenizer(json, { clean_up_tokenization_spaces: false });
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
