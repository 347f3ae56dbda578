/** f64 oracle of the set attention; formulas in set_attention.wgsl. */
interface Shape {
  queries: number;
  tokens: number;
  batch: number;
  hidden: number;
  heads: number;
  scale: number;
}
type Buffers = Record<string, Float64Array>;

export function set_attention_fwd({ out, p, q, k, v }: Buffers, { queries, tokens, batch, hidden, heads, scale }: Shape): void {
  const e = hidden / heads;
  for (let b = 0; b < batch; b++) {
    for (let g = 0; g < heads; g++) {
      const at = (token: number, c: number) => (token * batch + b) * hidden + g * e + c;
      for (let i = 0; i < queries; i++) {
        const row = ((b * heads + g) * queries + i) * tokens;
        const s = Array.from({ length: tokens }, (_, j) => {
          let dot = 0;
          for (let c = 0; c < e; c++) dot += q[at(i, c)] * k[at(j, c)];
          return scale * dot;
        });
        const m = Math.max(...s);
        const l = s.reduce((sum, x) => sum + Math.exp(x - m), 0);
        for (let j = 0; j < tokens; j++) p[row + j] = Math.exp(s[j] - m) / l;
        for (let c = 0; c < e; c++) {
          out[at(i, c)] = 0;
          for (let j = 0; j < tokens; j++) out[at(i, c)] += p[row + j] * v[at(j, c)];
        }
      }
    }
  }
}

export function set_attention_bwd(
  { dq, dk, dv, p, dout, q, k, v }: Buffers,
  { queries, tokens, batch, hidden, heads, scale }: Shape,
): void {
  const e = hidden / heads;
  dq.fill(0, 0, queries * batch * hidden);
  dk.fill(0, 0, tokens * batch * hidden);
  dv.fill(0, 0, tokens * batch * hidden);
  for (let b = 0; b < batch; b++) {
    for (let g = 0; g < heads; g++) {
      const at = (token: number, c: number) => (token * batch + b) * hidden + g * e + c;
      for (let i = 0; i < queries; i++) {
        const row = ((b * heads + g) * queries + i) * tokens;
        const dp = Array.from({ length: tokens }, (_, j) => {
          let dot = 0;
          for (let c = 0; c < e; c++) dot += dout[at(i, c)] * v[at(j, c)];
          return dot;
        });
        const mean = dp.reduce((sum, d, j) => sum + p[row + j] * d, 0);
        for (let j = 0; j < tokens; j++) {
          const ds = scale * p[row + j] * (dp[j] - mean);
          for (let c = 0; c < e; c++) {
            dv[at(j, c)] += p[row + j] * dout[at(i, c)];
            dq[at(i, c)] += ds * k[at(j, c)];
            dk[at(j, c)] += ds * q[at(i, c)];
          }
          p[row + j] = ds;
        }
      }
    }
  }
}
