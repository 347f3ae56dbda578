/** f64 oracle of attention: whole rows of scores, nothing clever; the formulas are in attention.wgsl. */
interface Shape {
  tokens: number;
  heads: number;
  kv_heads: number;
  head_dim: number;
  scale: number;
}
type Buffers = Record<string, Float64Array>;

/** The keys that query i sees: its prefix, then its own segment up to itself. */
function keysOf(seg: Float64Array, i: number): number[] {
  const [prefixStart, prefixEnd, segStart] = seg.subarray(4 * i);
  const keys: number[] = [];
  for (let j = prefixStart; j < prefixEnd; j++) keys.push(j);
  for (let j = segStart; j <= i; j++) keys.push(j);
  return keys;
}

function dot(a: Float64Array, ai: number, b: Float64Array, bi: number, n: number): number {
  let s = 0;
  for (let d = 0; d < n; d++) s += a[ai + d] * b[bi + d];
  return s;
}

/** Calls `visit(h, i, j, qi, kj)` for each pair of a query and a key that it sees; qi and kj are the rows' offsets. */
function pairs(seg: Float64Array, p: Shape, visit: (h: number, i: number, j: number, qi: number, kj: number) => void): void {
  const group = p.heads / p.kv_heads;
  for (let h = 0; h < p.heads; h++) {
    for (let i = 0; i < p.tokens; i++) {
      const qi = (i * p.heads + h) * p.head_dim;
      for (const j of keysOf(seg, i)) visit(h, i, j, qi, (j * p.kv_heads + Math.floor(h / group)) * p.head_dim);
    }
  }
}

export function attention_fwd({ o, stats, q, k, v, seg }: Buffers, p: Shape): void {
  const { tokens, heads, head_dim: D, scale } = p;
  const top = new Float64Array(tokens * heads).fill(Number.NEGATIVE_INFINITY);
  const sum = new Float64Array(tokens * heads);
  o.fill(0, 0, tokens * heads * D);
  pairs(seg, p, (h, i, _j, qi, kj) => {
    top[i * heads + h] = Math.max(top[i * heads + h], scale * dot(q, qi, k, kj, D));
  });
  pairs(seg, p, (h, i, _j, qi, kj) => {
    const e = Math.exp(scale * dot(q, qi, k, kj, D) - top[i * heads + h]);
    sum[i * heads + h] += e;
    for (let d = 0; d < D; d++) o[qi + d] += e * v[kj + d];
  });
  for (let r = 0; r < tokens * heads; r++) {
    for (let d = 0; d < D; d++) o[r * D + d] /= sum[r];
    stats[2 * r] = top[r] + Math.log(sum[r]);
    stats[2 * r + 1] = 0;
  }
}

export function attention_bwd_delta({ stats, do: dO, o }: Buffers, { tokens, heads, head_dim: D }: Shape): void {
  for (let r = 0; r < tokens * heads; r++) stats[2 * r + 1] = dot(dO, r * D, o, r * D, D);
}

/** p = exp(scale q.k - lse), ds = p (do.v - delta) of one pair. */
function pairGradient({ do: dO, q, k, v, stats }: Buffers, p: Shape, h: number, i: number, qi: number, kj: number): [number, number] {
  const stat = 2 * (i * p.heads + h);
  const prob = Math.exp(p.scale * dot(q, qi, k, kj, p.head_dim) - stats[stat]);
  return [prob, prob * (dot(dO, qi, v, kj, p.head_dim) - stats[stat + 1])];
}

export function attention_bwd_dq(b: Buffers, p: Shape): void {
  b.dq.fill(0, 0, p.tokens * p.heads * p.head_dim);
  pairs(b.seg, p, (h, i, _j, qi, kj) => {
    const [, ds] = pairGradient(b, p, h, i, qi, kj);
    for (let d = 0; d < p.head_dim; d++) b.dq[qi + d] += p.scale * ds * b.k[kj + d];
  });
}

export function attention_bwd_dkdv(b: Buffers, p: Shape): void {
  b.dk.fill(0, 0, p.tokens * p.kv_heads * p.head_dim);
  b.dv.fill(0, 0, p.tokens * p.kv_heads * p.head_dim);
  pairs(b.seg, p, (h, i, _j, qi, kj) => {
    const [prob, ds] = pairGradient(b, p, h, i, qi, kj);
    for (let d = 0; d < p.head_dim; d++) {
      b.dk[kj + d] += p.scale * ds * b.q[qi + d];
      b.dv[kj + d] += prob * b.do[qi + d];
    }
  });
}
