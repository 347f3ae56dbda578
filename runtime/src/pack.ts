/**
 * Packed batches: many sequences in one row of tokens, no padding, and a prompt stored once for all its completions.
 *
 *   tokens     [ prompt A | completion 0 | completion 1 | prompt B | completion 2 | ... ]
 *   positions    0 .. P-1   P ..           P ..           0 ..
 *
 * A completion attends to its prompt and causally to itself; the segment table says so (kernels/src/attention).
 */

/** One prompt and its completions; a completion may be empty. */
export interface PromptGroup {
  readonly prompt: Uint32Array;
  readonly completions: readonly Uint32Array[];
}

export interface Pack {
  /** (T) token ids, and the position of each in its own sequence. */
  readonly ids: Uint32Array;
  readonly positions: Uint32Array;
  /** (T, 4): [prefix_start, prefix_end, seg_start, q_end] per token. */
  readonly seg: Uint32Array;
  /** Query-key pairs that the table lets see each other. */
  readonly pairs: number;
  /** (N) one entry per completion token: the row of T whose hidden state predicts it, the token, and its completion. */
  readonly rows: Uint32Array;
  readonly targets: Uint32Array;
  /** Indices into the completions of the whole batch, counted over all groups in order. */
  readonly completionOf: Uint32Array;
}

/** A group, or part of one, with the batch-wide index of each of its completions. */
interface Part {
  readonly prompt: Uint32Array;
  readonly completions: { readonly index: number; readonly tokens: Uint32Array }[];
}

const partsOf = (groups: readonly PromptGroup[]): Part[] => {
  let index = 0;
  return groups.map(({ prompt, completions }) => {
    if (prompt.length === 0) throw new Error('pack: empty prompt; the first completion token needs a row that predicts it');
    return { prompt, completions: completions.map((tokens) => ({ index: index++, tokens })) };
  });
};

const lengthOf = (part: Part): number => part.completions.reduce((n, c) => n + c.tokens.length, part.prompt.length);

/** All groups in one pack. @throws Error for an empty prompt. */
export const packGroups = (groups: readonly PromptGroup[]): Pack => packParts(partsOf(groups));

/**
 * Packs of at most `maxTokens`, filled in order; a group that does not fit into one pack is cut between completions and its prompt
 * repeated. Completions keep their batch-wide indices. @throws Error when a prompt with one completion alone is longer.
 */
export function splitPacks(groups: readonly PromptGroup[], maxTokens: number): Pack[] {
  const packs: Part[][] = [];
  let open: Part[] = [];
  let used = 0;
  const close = () => {
    if (open.length > 0) packs.push(open);
    open = [];
    used = 0;
  };
  for (const part of partsOf(groups)) {
    if (used + lengthOf(part) > maxTokens) close();
    for (const cut of cutPart(part, maxTokens)) {
      const length = lengthOf(cut);
      if (used + length > maxTokens) close();
      open.push(cut);
      used += length;
    }
  }
  close();
  return packs.map(packParts);
}

function cutPart(part: Part, maxTokens: number): Part[] {
  if (lengthOf(part) <= maxTokens) return [part];
  const cuts: Part[] = [];
  let room = 0;
  for (const c of part.completions) {
    const alone = part.prompt.length + c.tokens.length;
    if (alone > maxTokens) {
      throw new Error(
        `pack: prompt of ${part.prompt.length} and completion of ${c.tokens.length} tokens exceed the budget of ${maxTokens} tokens`,
      );
    }
    if (cuts.length === 0 || c.tokens.length > room) {
      cuts.push({ prompt: part.prompt, completions: [] });
      room = maxTokens - part.prompt.length;
    }
    cuts[cuts.length - 1].completions.push(c);
    room -= c.tokens.length;
  }
  return cuts;
}

function packParts(parts: readonly Part[]): Pack {
  const total = parts.reduce((n, p) => n + lengthOf(p), 0);
  const numTargets = parts.reduce((n, p) => n + lengthOf(p) - p.prompt.length, 0);
  const ids = new Uint32Array(total);
  const positions = new Uint32Array(total);
  const seg = new Uint32Array(total * 4);
  const rows = new Uint32Array(numTargets);
  const targets = new Uint32Array(numTargets);
  const completionOf = new Uint32Array(numTargets);
  let at = 0;
  let n = 0;
  let pairs = 0;
  const segment = (tokens: Uint32Array, position: number, prefix: readonly [number, number], end: number) => {
    ids.set(tokens, at);
    for (let i = 0; i < tokens.length; i++) {
      positions[at + i] = position + i;
      seg.set([prefix[0], prefix[1], at, end], (at + i) * 4);
    }
    at += tokens.length;
    pairs += tokens.length * (prefix[1] - prefix[0]) + (tokens.length * (tokens.length + 1)) / 2;
  };
  for (const part of parts) {
    const start = at;
    const split = start + part.prompt.length;
    segment(part.prompt, 0, [0, 0], start + lengthOf(part));
    for (const { index, tokens } of part.completions) {
      for (let i = 0; i < tokens.length; i++, n++) {
        rows[n] = i === 0 ? split - 1 : at + i - 1;
        targets[n] = tokens[i];
        completionOf[n] = index;
      }
      segment(tokens, part.prompt.length, [start, split], at + tokens.length);
    }
  }
  return { ids, positions, seg, pairs, rows, targets, completionOf };
}

/** Values per completion and token, laid out as the pack's (N): old logprobs, masks, weights. */
export function packTokens(pack: Pack, perCompletion: readonly ArrayLike<number>[]): Float32Array {
  const out = new Float32Array(pack.completionOf.length);
  let at = 0;
  let current = -1;
  pack.completionOf.forEach((c, n) => {
    at = c === current ? at + 1 : 0;
    current = c;
    const value = perCompletion[c]?.[at];
    if (value === undefined) throw new Error(`packTokens: completion ${c} has no value for its token ${at}`);
    out[n] = value;
  });
  return out;
}
