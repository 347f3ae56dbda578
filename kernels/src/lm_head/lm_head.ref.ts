/** f64 oracle of lm_head; the formulas are in lm_head.wgsl. */
interface Shape {
  rows: number;
  vocab: number;
  inv_temperature: number;
}

type Forward = Record<'logprobs' | 'entropy' | 'lse' | 'logits' | 'targets', Float64Array>;

export function lm_head_logprob(b: Forward, { rows, vocab, inv_temperature }: Shape): void {
  for (let i = 0; i < rows; i++) {
    const z = b.logits.subarray(i * vocab, (i + 1) * vocab).map((x) => x * inv_temperature);
    const m = z.reduce((a, v) => Math.max(a, v), Number.NEGATIVE_INFINITY);
    let l = 0;
    for (const v of z) l += Math.exp(v - m);
    let pz = 0;
    for (const v of z) pz += (Math.exp(v - m) / l) * (v - m);
    b.logprobs[i] = z[b.targets[i]] - m - Math.log(l);
    b.entropy[i] = Math.log(l) - pz;
    b.lse[i] = m + Math.log(l);
  }
}

type Backward = Record<'logits' | 'targets' | 'lse' | 'dlogprobs', Float64Array>;

export function lm_head_dlogits({ logits, targets, lse, dlogprobs }: Backward, { rows, vocab, inv_temperature }: Shape): void {
  for (let i = 0; i < rows; i++) {
    for (let c = 0; c < vocab; c++) {
      const at = i * vocab + c;
      const prob = Math.exp(logits[at] * inv_temperature - lse[i]);
      logits[at] = dlogprobs[i] === 0 ? 0 : dlogprobs[i] * ((c === targets[i] ? 1 : 0) - prob) * inv_temperature;
    }
  }
}
