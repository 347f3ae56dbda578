/** f64 oracle of clipped_ratio; the formulas are in clipped_ratio.wgsl. */
interface Shape {
  n: number;
  num_rollouts: number;
  clip_low: number;
  kl_beta: number;
}

type Buffers = Record<
  'dlogprobs' | 'partials' | 'logprobs' | 'old_logprobs' | 'ref_logprobs' | 'rollout' | 'table' | 'weights',
  Float64Array
>;

const BOUND = 20;

export function clipped_ratio(b: Buffers, { n, clip_low, kl_beta }: Shape): void {
  b.partials.fill(0, 0, Math.ceil(n / 256) * 8);
  for (let i = 0; i < n; i++) {
    b.dlogprobs[i] = 0;
    const w = b.weights[i];
    if (w === 0) continue;
    const advantage = b.table[2 * b.rollout[i]];
    const epsHigh = b.table[2 * b.rollout[i] + 1];
    const diff = b.logprobs[i] - b.old_logprobs[i];
    const ratio = Math.exp(Math.min(Math.max(diff, -BOUND), BOUND));
    const clipped = Math.min(Math.max(ratio, 1 - clip_low), 1 + epsHigh);
    const low = ratio < 1 - clip_low && advantage < 0;
    const high = ratio > 1 + epsHigh && advantage > 0;
    const surr = Math.min(ratio * advantage, clipped * advantage);
    const dsurr = low || high || Math.abs(diff) > BOUND ? 0 : ratio * advantage;

    const q = b.ref_logprobs[i] - b.logprobs[i];
    const kl = Math.expm1(Math.min(q, BOUND)) - Math.min(q, BOUND);
    const dkl = q > BOUND ? 0 : -Math.expm1(q);

    b.dlogprobs[i] = w * (-dsurr + kl_beta * dkl);
    const stats = [w * (-surr + kl_beta * kl), kl, Number(low), Number(high), ratio, Math.abs(diff), 1];
    const at = Math.floor(i / 256) * 8;
    for (let s = 0; s < 7; s++) b.partials[at + s] += stats[s];
    b.partials[at + 7] = Math.max(b.partials[at + 7], Math.abs(diff));
  }
}

export function clipped_ratio_reduce(
  { stats, partials }: Record<'stats' | 'partials', Float64Array>,
  { blocks }: { blocks: number },
): void {
  stats.fill(0, 0, 8);
  for (let b = 0; b < blocks; b++) {
    for (let s = 0; s < 7; s++) stats[s] += partials[b * 8 + s];
    stats[7] = Math.max(stats[7], partials[b * 8 + 7]);
  }
}
