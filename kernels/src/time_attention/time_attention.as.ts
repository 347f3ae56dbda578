// Time-aware attention over a patient's visits; formulas and layouts in time_attention.wgsl. One work item per feature and patient.
import { exp1, hsum4, log1, sigmoid1 } from '../common/simd.as';

// @ts-ignore: decorator
@inline
function at(base: usize, index: usize): usize {
  return base + (index << 2);
}

// @ts-ignore: decorator
@inline
function energy(s: f32, rho: f32, dt: f32): f32 {
  return s / (rho * log1(<f32>3.72 - s) * dt);
}

function dot(a: usize, b: usize, n: i32): f32 {
  const vec = n & ~3;
  let sum4 = f32x4.splat(0);
  for (let c = 0; c < vec; c += 4) sum4 = f32x4.add(sum4, f32x4.mul(v128.load(at(a, c)), v128.load(at(b, c))));
  let sum = hsum4(sum4);
  for (let c = vec; c < n; c++) sum += load<f32>(at(a, c)) * load<f32>(at(b, c));
  return sum;
}

export function time_attention_fwd(
  context: usize, weights: usize, h: usize, qk: usize, rate: usize, starts: usize,
  features: i32, batch: i32, visits: i32, hidden: i32, key_dim: i32, lo: i32, hi: i32,
): void {
  const vec = hidden & ~3;
  for (let item = lo; item < hi; item++) {
    const f = item / batch;
    const b = item % batch;
    const n = <i32>(load<u32>(at(starts, b + 1)) - load<u32>(at(starts, b)));
    const from = <usize>f * visits + load<u32>(at(starts, b));
    const out = at(context, <usize>item * hidden);
    memory.fill(out, 0, (<usize>hidden) << 2);
    if (n == 0) continue;
    const rho = sigmoid1(load<f32>(at(rate, f)));
    const q = at(qk, (from + n - 1) * 2 * key_dim);
    // alpha's place holds e until the largest is known.
    let m: f32 = 0;
    for (let i = 0; i < n; i++) {
      const s = sigmoid1(dot(q, at(qk, (from + i) * 2 * key_dim + key_dim), key_dim));
      const e = energy(s, rho, <f32>(n - i));
      store<f32>(at(weights, (from + i) * 2), s);
      store<f32>(at(weights, (from + i) * 2 + 1), e);
      m = max(m, e);
    }
    let l: f32 = 0;
    for (let i = 0; i < n; i++) {
      const w = at(weights, (from + i) * 2 + 1);
      const x = exp1(load<f32>(w) - m);
      store<f32>(w, x);
      l += x;
    }
    for (let i = 0; i < n; i++) {
      const w = at(weights, (from + i) * 2 + 1);
      const alpha: f32 = load<f32>(w) / l;
      store<f32>(w, alpha);
      const a4 = f32x4.splat(alpha);
      const row = at(h, (from + i) * hidden);
      for (let c = 0; c < vec; c += 4) v128.store(at(out, c), f32x4.add(v128.load(at(out, c)), f32x4.mul(a4, v128.load(at(row, c)))));
      for (let c = vec; c < hidden; c++) store<f32>(at(out, c), load<f32>(at(out, c)) + alpha * load<f32>(at(row, c)));
    }
  }
}

export function time_attention_bwd(
  dh: usize, ddot: usize, rate_terms: usize, dcontext: usize, h: usize, weights: usize, rate: usize, starts: usize,
  features: i32, batch: i32, visits: i32, hidden: i32, key_dim: i32, lo: i32, hi: i32,
): void {
  const vec = hidden & ~3;
  for (let item = lo; item < hi; item++) {
    const f = item / batch;
    const b = item % batch;
    const n = <i32>(load<u32>(at(starts, b + 1)) - load<u32>(at(starts, b)));
    const from = <usize>f * visits + load<u32>(at(starts, b));
    const rho = sigmoid1(load<f32>(at(rate, f)));
    const dc = at(dcontext, <usize>item * hidden);
    // ddot's place holds dalpha until its mean is known.
    let mean: f32 = 0;
    for (let i = 0; i < n; i++) {
      const alpha = load<f32>(at(weights, (from + i) * 2 + 1));
      const dalpha = dot(dc, at(h, (from + i) * hidden), hidden);
      store<f32>(at(ddot, from + i), dalpha);
      mean += alpha * dalpha;
      const row = at(dh, (from + i) * hidden);
      const a4 = f32x4.splat(alpha);
      for (let c = 0; c < vec; c += 4) v128.store(at(row, c), f32x4.mul(a4, v128.load(at(dc, c))));
      for (let c = vec; c < hidden; c++) store<f32>(at(row, c), alpha * load<f32>(at(dc, c)));
    }
    let term: f32 = 0;
    for (let i = 0; i < n; i++) {
      const s = load<f32>(at(weights, (from + i) * 2));
      const de: f32 = load<f32>(at(weights, (from + i) * 2 + 1)) * (load<f32>(at(ddot, from + i)) - mean);
      const dt = <f32>(n - i);
      const rest: f32 = <f32>3.72 - s;
      const g = log1(rest);
      store<f32>(at(ddot, from + i), de / (rho * dt) * (g + s / rest) / (g * g) * s * (<f32>1 - s));
      term -= (<f32>1 - rho) * de * energy(s, rho, dt);
    }
    store<f32>(at(rate_terms, item), term);
  }
}

export function time_attention_bwd_qk(
  dqk: usize, ddot: usize, qk: usize, starts: usize,
  features: i32, batch: i32, visits: i32, hidden: i32, key_dim: i32, lo: i32, hi: i32,
): void {
  for (let item = lo; item < hi; item++) {
    const b = item % batch;
    const n = <i32>(load<u32>(at(starts, b + 1)) - load<u32>(at(starts, b)));
    if (n == 0) continue;
    const from = <usize>(item / batch) * visits + load<u32>(at(starts, b));
    const width = <usize>2 * key_dim;
    const last = (from + n - 1) * width;
    for (let i = 0; i < n; i++) memory.fill(at(dqk, (from + i) * width), 0, (<usize>key_dim) << 2);
    for (let i = 0; i < n; i++) {
      const d = load<f32>(at(ddot, from + i));
      const k = (from + i) * width + key_dim;
      for (let a = 0; a < key_dim; a++) {
        store<f32>(at(dqk, last + a), load<f32>(at(dqk, last + a)) + d * load<f32>(at(qk, k + a)));
        store<f32>(at(dqk, k + a), d * load<f32>(at(qk, last + a)));
      }
    }
  }
}

export function time_attention_bwd_rate(drate: usize, rate_terms: usize, features: i32, batch: i32, lo: i32, hi: i32): void {
  for (let f = lo; f < hi; f++) {
    let sum: f32 = 0;
    for (let b = 0; b < batch; b++) sum += load<f32>(at(rate_terms, <usize>f * batch + b));
    store<f32>(at(drate, f), load<f32>(at(drate, f)) + sum);
  }
}
