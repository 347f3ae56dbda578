/** f64 oracle of the time-aware attention; formulas in time_attention.wgsl. */
interface Shape {
  features: number;
  batch: number;
  visits: number;
  hidden: number;
  key_dim: number;
}
type Buffers = Record<string, Float64Array>;

const sigmoid = (v: number) => 1 / (1 + Math.exp(-v));

export function time_attention_fwd(
  { context, weights, h, qk, rate, starts }: Buffers,
  { features, batch, visits, hidden, key_dim }: Shape,
): void {
  for (let f = 0; f < features; f++) {
    for (let b = 0; b < batch; b++) {
      const visitsOfPatient = Array.from({ length: starts[b + 1] - starts[b] }, (_, i) => f * visits + starts[b] + i);
      const last = f * visits + starts[b + 1] - 1;
      const s = visitsOfPatient.map((v) => {
        let dot = 0;
        for (let a = 0; a < key_dim; a++) dot += qk[last * 2 * key_dim + a] * qk[v * 2 * key_dim + key_dim + a];
        return sigmoid(dot);
      });
      const e = s.map((sv, i) => Math.max(0, sv / (sigmoid(rate[f]) * Math.log(2.72 + 1 - sv) * (s.length - i))));
      const m = Math.max(...e);
      const l = e.reduce((sum, ev) => sum + Math.exp(ev - m), 0);
      context.fill(0, (f * batch + b) * hidden, (f * batch + b + 1) * hidden);
      for (const [i, v] of visitsOfPatient.entries()) {
        const alpha = Math.exp(e[i] - m) / l;
        weights[v * 2] = s[i];
        weights[v * 2 + 1] = alpha;
        for (let c = 0; c < hidden; c++) context[(f * batch + b) * hidden + c] += alpha * h[v * hidden + c];
      }
    }
  }
}

export function time_attention_bwd(
  { dh, ddot, rate_terms, dcontext, h, weights, rate, starts }: Buffers,
  { features, batch, visits, hidden }: Shape,
): void {
  for (let f = 0; f < features; f++) {
    const rho = sigmoid(rate[f]);
    for (let b = 0; b < batch; b++) {
      const item = f * batch + b;
      const dalpha = (v: number) => {
        let sum = 0;
        for (let c = 0; c < hidden; c++) sum += dcontext[item * hidden + c] * h[v * hidden + c];
        return sum;
      };
      const from = f * visits + starts[b];
      const to = f * visits + starts[b + 1];
      let mean = 0;
      for (let v = from; v < to; v++) mean += weights[v * 2 + 1] * dalpha(v);
      rate_terms[item] = 0;
      for (let v = from; v < to; v++) {
        const s = weights[v * 2];
        const alpha = weights[v * 2 + 1];
        const dt = to - v;
        const g = Math.log(2.72 + 1 - s);
        const de = alpha * (dalpha(v) - mean);
        for (let c = 0; c < hidden; c++) dh[v * hidden + c] = alpha * dcontext[item * hidden + c];
        ddot[v] = (de / (rho * dt)) * ((g + s / (2.72 + 1 - s)) / (g * g)) * s * (1 - s);
        rate_terms[item] -= (1 - rho) * de * (s / (rho * g * dt));
      }
    }
  }
}

export function time_attention_bwd_qk({ dqk, ddot, qk, starts }: Buffers, { features, batch, visits, key_dim }: Shape): void {
  for (let f = 0; f < features; f++) {
    for (let b = 0; b < batch; b++) {
      const last = f * visits + starts[b + 1] - 1;
      for (let a = 0; a < key_dim; a++) {
        let dq = 0;
        for (let v = f * visits + starts[b]; v <= last; v++) {
          dq += ddot[v] * qk[v * 2 * key_dim + key_dim + a];
          dqk[v * 2 * key_dim + a] = v === last ? dq : 0;
          dqk[v * 2 * key_dim + key_dim + a] = ddot[v] * qk[last * 2 * key_dim + a];
        }
      }
    }
  }
}

export function time_attention_bwd_rate({ drate, rate_terms }: Buffers, { features, batch }: Shape): void {
  for (let f = 0; f < features; f++) for (let b = 0; b < batch; b++) drate[f] += rate_terms[f * batch + b];
}
