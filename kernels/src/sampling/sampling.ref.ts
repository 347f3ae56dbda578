/** f64 oracle of sampling; the definitions are in sampling.wgsl. */
import { threefry2x32, uniform01 } from '../common/threefry.ref.ts';

interface Filter {
  temperature: number;
  top_k: number;
  top_p: number;
  min_p: number;
}

function softmax(z: Float64Array): Float64Array {
  const m = z.reduce((a, v) => Math.max(a, v), Number.NEGATIVE_INFINITY);
  const e = z.map((v) => Math.exp(v - m));
  const l = e.reduce((s, v) => s + v, 0);
  return e.map((v) => v / l);
}

/** The distribution a token is drawn from, temperature above 0: (vocab) shares, 0 for what the filters removed. */
export function kept(logits: Float64Array, { temperature, top_k, top_p, min_p }: Filter): Float64Array {
  const q = softmax(logits.map((x) => x / temperature));
  const sorted = Array.from(logits.keys()).sort((a, b) => logits[b] - logits[a]);
  const kth = top_k === 0 ? Number.NEGATIVE_INFINITY : logits[sorted[Math.min(top_k, sorted.length) - 1]];
  const total = q.reduce((s, v, c) => (logits[c] >= kth ? s + v : s), 0);
  let threshold = kth;
  if (top_p < 1) {
    let mass = 0;
    for (let i = 0; i < sorted.length; i++) {
      mass += q[sorted[i]];
      const lastOfTies = logits[sorted[i + 1]] !== logits[sorted[i]];
      if (lastOfTies && mass >= top_p * total) {
        threshold = logits[sorted[i]];
        break;
      }
    }
  }
  const largest = q.reduce((a, v) => Math.max(a, v), 0);
  const shares = q.map((v, c) => (logits[c] >= threshold && v >= min_p * largest ? v : 0));
  const left = shares.reduce((s, v) => s + v, 0);
  return shares.map((v) => v / left);
}

type Buffers = Record<'tokens' | 'logprobs' | 'entropy' | 'logits' | 'state', Float64Array>;

export function sample(b: Buffers, p: Filter & { rows: number; vocab: number }): void {
  for (let r = 0; r < p.rows; r++) {
    const [seed, stream, counter, active] = b.state.subarray(r * 4, r * 4 + 4);
    if (active === 0) {
      b.tokens[r] = 0xffffffff;
      b.logprobs[r] = 0;
      b.entropy[r] = 0;
      continue;
    }
    const logits = b.logits.subarray(r * p.vocab, (r + 1) * p.vocab);
    const greedy = p.temperature === 0;
    const q = softmax(logits.map((x) => x / (greedy ? 1 : p.temperature)));
    b.entropy[r] = q.reduce((h, v) => (v > 0 ? h - v * Math.log(v) : h), 0);
    const shares = greedy ? q : kept(logits, p);
    if (greedy) b.tokens[r] = logits.indexOf(Math.max(...logits));
    else {
      const u = uniform01(threefry2x32(seed, stream, counter, 0)[0]);
      let cumulative = 0;
      b.tokens[r] = shares.findIndex((v) => (cumulative += v) > u);
    }
    b.logprobs[r] = Math.log(shares[b.tokens[r]]);
  }
}

export function repetition_penalty(
  b: Record<'logits' | 'seen' | 'ids', Float64Array>,
  p: { rows: number; vocab: number; penalty: number },
): void {
  const words = Math.ceil(p.vocab / 32);
  for (let r = 0; r < p.rows; r++) {
    const seen = b.seen.subarray(r * words, (r + 1) * words);
    const has = (c: number) => Math.floor(seen[c >> 5] / 2 ** (c & 31)) % 2 === 1;
    if (b.ids[r] < p.vocab && !has(b.ids[r])) seen[b.ids[r] >> 5] += 2 ** (b.ids[r] & 31);
    for (let c = 0; c < p.vocab; c++) {
      const x = b.logits[r * p.vocab + c];
      if (has(c)) b.logits[r * p.vocab + c] = x < 0 ? x * p.penalty : x / p.penalty;
    }
  }
}
