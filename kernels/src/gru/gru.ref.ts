/** f64 oracle of the GRUs; formulas in gru.wgsl. */
interface Shape {
  features: number;
  batch: number;
  visits: number;
  hidden: number;
}
type Buffers = Record<string, Float64Array>;

const sigmoid = (v: number) => 1 / (1 + Math.exp(-v));

export function gru_fwd({ h, gates, x, w_ih, w_hh, b_ih, b_hh, starts }: Buffers, { features, batch, visits, hidden: d }: Shape): void {
  for (let f = 0; f < features; f++) {
    for (let b = 0; b < batch; b++) {
      for (let v = starts[b]; v < starts[b + 1]; v++) {
        const at = f * visits + v;
        const before = (k: number) => (v > starts[b] ? h[(at - 1) * d + k] : 0);
        for (let j = 0; j < d; j++) {
          const recurrent = (gate: number) => {
            const row = f * 3 * d + gate * d + j;
            let s = b_hh[row];
            for (let k = 0; k < d; k++) s += w_hh[row * d + k] * before(k);
            return s;
          };
          const input = (gate: number) => w_ih[f * 3 * d + gate * d + j] * x[at] + b_ih[f * 3 * d + gate * d + j];
          const r = sigmoid(input(0) + recurrent(0));
          const z = sigmoid(input(1) + recurrent(1));
          const hn = recurrent(2);
          const n = Math.tanh(input(2) + r * hn);
          h[at * d + j] = (1 - z) * n + z * before(j);
          gates[at * 4 * d + j] = r;
          gates[at * 4 * d + d + j] = z;
          gates[at * 4 * d + 2 * d + j] = n;
          gates[at * 4 * d + 3 * d + j] = hn;
        }
      }
    }
  }
}

export function gru_bwd({ dh, gates, h, w_hh, starts }: Buffers, { features, batch, visits, hidden: d }: Shape): void {
  for (let f = 0; f < features; f++) {
    for (let b = 0; b < batch; b++) {
      for (let v = starts[b + 1] - 1; v >= starts[b]; v--) {
        const at = f * visits + v;
        const first = v === starts[b];
        for (let j = 0; j < d; j++) {
          const g = at * 4 * d + j;
          const [r, z, n, hn] = [gates[g], gates[g + d], gates[g + 2 * d], gates[g + 3 * d]];
          const before = first ? 0 : h[(at - 1) * d + j];
          const dv = dh[at * d + j];
          const dn = dv * (1 - z) * (1 - n * n);
          gates[g] = dn * hn * r * (1 - r);
          gates[g + d] = dv * (before - n) * z * (1 - z);
          gates[g + 2 * d] = dn;
          gates[g + 3 * d] = dn * r;
          if (!first) dh[(at - 1) * d + j] += dv * z;
        }
        if (first) continue;
        for (let k = 0; k < d; k++) {
          for (let j = 0; j < d; j++) {
            const w = (f * 3 * d + j) * d + k;
            const g = at * 4 * d + j;
            dh[(at - 1) * d + k] += w_hh[w] * gates[g] + w_hh[w + d * d] * gates[g + d] + w_hh[w + 2 * d * d] * gates[g + 3 * d];
          }
        }
      }
    }
  }
}

export function gru_bwd_params(
  { dw_hh, dw_ih, db_ih, db_hh, dgates, h, x, starts }: Buffers,
  { features, batch, visits, hidden: d }: Shape,
): void {
  for (let f = 0; f < features; f++) {
    for (let b = 0; b < batch; b++) {
      for (let v = starts[b]; v < starts[b + 1]; v++) {
        const at = f * visits + v;
        for (let j = 0; j < 3 * d; j++) {
          const gi = dgates[at * 4 * d + j];
          const gh = dgates[at * 4 * d + (j < 2 * d ? j : j + d)];
          const row = f * 3 * d + j;
          dw_ih[row] += gi * x[at];
          db_ih[row] += gi;
          db_hh[row] += gh;
          if (v > starts[b]) for (let i = 0; i < d; i++) dw_hh[row * d + i] += gh * h[(at - 1) * d + i];
        }
      }
    }
  }
}
