/** Text of token ids that come one at a time, and where it must stop. */

import type { Tokenizer } from './tokenizer.ts';

/** What the decoder writes for bytes that are no UTF-8, also for a character whose last bytes are still to come. */
const REPLACEMENT = '\uFFFD';

/**
 * Decodes token by token. A character may be spread over several tokens: what could still become one is held back, so all pieces
 * together are the text of all tokens.
 */
export class TextStream {
  readonly #tokenizer: Pick<Tokenizer, 'decode'>;
  /** The tokens before `fresh`, as far as the decoder must see them, and the length of their text. */
  #context: number[] = [];
  #contextLength = 0;
  #fresh: number[] = [];
  /** Characters of the fresh tokens' text that were handed out. */
  #given = 0;

  constructor(tokenizer: Pick<Tokenizer, 'decode'>) {
    this.#tokenizer = tokenizer;
  }

  /** The characters that `token` completes; often none of its own, or some of the tokens before it. */
  push(token: number): string {
    this.#fresh.push(token);
    const text = this.#freshText();
    // Only the last character can be unfinished.
    const whole = text.endsWith(REPLACEMENT) ? text.slice(0, -1) : text;
    const piece = whole.slice(this.#given);
    if (whole === text) {
      this.#context = this.#fresh;
      this.#contextLength = this.#tokenizer.decode(this.#context).length;
      this.#fresh = [];
      this.#given = 0;
    } else this.#given = whole.length;
    return piece;
  }

  /** What is held back: nothing, or a replacement character for bytes that never became one. */
  end(): string {
    const piece = this.#freshText().slice(this.#given);
    this.#given += piece.length;
    return piece;
  }

  #freshText(): string {
    return this.#tokenizer.decode([...this.#context, ...this.#fresh]).slice(this.#contextLength);
  }
}

/** Watches a text for the first of some strings, holding back what could be the beginning of one. */
export class StopText {
  readonly #stops: readonly string[];
  #held = '';
  /** The string that ended the text. */
  found: string | null = null;

  /** @throws RangeError for an empty stop string: it would end every text before it begins. */
  constructor(stops: readonly string[]) {
    if (stops.includes('')) throw new RangeError('stop strings: expected texts of at least one character, got an empty one');
    this.#stops = stops;
  }

  /** What may be shown once `piece` has come: everything before a stop string, and nothing that may turn out to be part of one. */
  push(piece: string): string {
    if (this.found !== null) return '';
    const text = this.#held + piece;
    let [start, end] = [text.length, Number.POSITIVE_INFINITY];
    for (const stop of this.#stops) {
      const i = text.indexOf(stop);
      // The first to be complete; of two that end together, the longer. So it does not matter how the text is cut into pieces.
      if (i < 0 || i + stop.length > end || (i + stop.length === end && i >= start)) continue;
      [start, end] = [i, i + stop.length];
      this.found = stop;
    }
    const held = this.found === null ? this.#beginning(text) : 0;
    const shown = this.found === null ? text.slice(0, text.length - held) : text.slice(0, start);
    this.#held = text.slice(text.length - held);
    return shown;
  }

  /** What is held back, once nothing more comes. */
  end(): string {
    const rest = this.#held;
    this.#held = '';
    return rest;
  }

  /** Length of the longest end of `text` that begins a stop string. */
  #beginning(text: string): number {
    let longest = 0;
    for (const stop of this.#stops) {
      for (let n = Math.min(stop.length - 1, text.length); n > longest; n--) {
        if (text.endsWith(stop.slice(0, n))) longest = n;
      }
    }
    return longest;
  }
}

/**
 * A watch over one sequence: true for the token that completes one of `stops` in the text, as the engine's `stopAfter` asks.
 * Undefined when there is nothing to watch for.
 */
export function stopWatch(tokenizer: Pick<Tokenizer, 'decode'>, stops: readonly string[]): ((token: number) => boolean) | undefined {
  if (stops.length === 0) return undefined;
  const [text, watch] = [new TextStream(tokenizer), new StopText(stops)];
  return (token) => {
    watch.push(text.push(token));
    return watch.found !== null;
  };
}
