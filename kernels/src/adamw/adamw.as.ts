// AdamW over one flat list and the global gradient norm; formulas in adamw.wgsl.
// Chunks of 4096 (norm) and blocks of 64 elements (update) lo..hi belong to the calling thread.
import { hsum4 } from '../common/simd.as';

const CHUNK: i32 = 4096;
const BLOCK: i32 = 64;

export function grad_norm_partial(partials: usize, grad: usize, n: i32, lo: i32, hi: i32): void {
  for (let chunk = lo; chunk < hi; chunk++) {
    const start = chunk * CHUNK;
    const len = min(CHUNK, n - start);
    const g = grad + ((<usize>start) << 2);
    const pairs = len & ~7;
    let s0 = f32x4.splat(0);
    let s1 = f32x4.splat(0);
    for (let i = 0; i < pairs; i += 8) {
      const o = g + ((<usize>i) << 2);
      const a = v128.load(o);
      const b = v128.load(o, 16);
      s0 = f32x4.add(s0, f32x4.mul(a, a));
      s1 = f32x4.add(s1, f32x4.mul(b, b));
    }
    let s = hsum4(f32x4.add(s0, s1));
    for (let i = pairs; i < len; i++) {
      const a = load<f32>(g + ((<usize>i) << 2));
      s += a * a;
    }
    store<f32>(partials + ((<usize>chunk) << 2), s);
  }
}

// @ts-ignore: decorator
@inline
function finite(x: f32): bool {
  return (reinterpret<u32>(x) & 0x7f800000) != 0x7f800000;
}

// One item: the whole reduction.
export function grad_norm_finish(norm: usize, partials: usize, count: i32, max_norm: f32, lo: i32, hi: i32): void {
  const vec = count & ~3;
  let sv = f32x4.splat(0);
  for (let i = 0; i < vec; i += 4) sv = f32x4.add(sv, v128.load(partials + ((<usize>i) << 2)));
  let s = hsum4(sv);
  for (let i = vec; i < count; i++) s += load<f32>(partials + ((<usize>i) << 2));
  let length = s;
  let coef: f32 = 0;
  if (finite(s)) {
    length = sqrt<f32>(s);
    coef = max_norm > 0 ? min<f32>(1.0, max_norm / (length + 1e-6)) : 1.0;
  }
  store<f32>(norm, length);
  store<f32>(norm, coef, 4);
}

export function adamw(
  param: usize, m: usize, v: usize, grad: usize, decay: usize, norm: usize,
  n: i32, lr: f32, beta1: f32, beta2: f32, eps: f32, weight_decay: f32, bias_correction1: f32, bias_correction2: f32, lo: i32, hi: i32,
): void {
  if (!finite(load<f32>(norm))) return;
  const coef = load<f32>(norm, 4);
  const coef4 = f32x4.splat(coef);
  const b1 = f32x4.splat(beta1);
  const b2 = f32x4.splat(beta2);
  const c1 = f32x4.splat(<f32>1.0 - beta1);
  const c2 = f32x4.splat(<f32>1.0 - beta2);
  const lr4 = f32x4.splat(lr);
  const eps4 = f32x4.splat(eps);
  const inv1 = f32x4.splat(<f32>1.0 / bias_correction1);
  const inv2 = f32x4.splat(<f32>1.0 / bias_correction2);
  for (let block = lo; block < hi; block++) {
    const start = block * BLOCK;
    const end = min(start + BLOCK, n);
    const vec = start + ((end - start) & ~3);
    const keep: f32 = <f32>1.0 - lr * weight_decay * load<f32>(decay + ((<usize>block) << 2));
    const keep4 = f32x4.splat(keep);
    const pairs = start + ((end - start) & ~7);
    for (let i = start; i < pairs; i += 8) {
      const o = (<usize>i) << 2;
      // Two vectors, and all loads before any store: 1.2 times as fast, from memory and from caches.
      const ga = v128.load(grad + o);
      const gb = v128.load(grad + o, 16);
      const ma = v128.load(m + o);
      const mb = v128.load(m + o, 16);
      const va = v128.load(v + o);
      const vb = v128.load(v + o, 16);
      const pa = v128.load(param + o);
      const pb = v128.load(param + o, 16);
      const g0 = f32x4.mul(ga, coef4);
      const g1 = f32x4.mul(gb, coef4);
      const m0 = f32x4.add(f32x4.mul(b1, ma), f32x4.mul(c1, g0));
      const m1 = f32x4.add(f32x4.mul(b1, mb), f32x4.mul(c1, g1));
      const v0 = f32x4.add(f32x4.mul(b2, va), f32x4.mul(f32x4.mul(c2, g0), g0));
      const v1 = f32x4.add(f32x4.mul(b2, vb), f32x4.mul(f32x4.mul(c2, g1), g1));
      v128.store(m + o, m0);
      v128.store(m + o, m1, 16);
      v128.store(v + o, v0);
      v128.store(v + o, v1, 16);
      const d0 = f32x4.add(f32x4.sqrt(f32x4.mul(v0, inv2)), eps4);
      const d1 = f32x4.add(f32x4.sqrt(f32x4.mul(v1, inv2)), eps4);
      const step0 = f32x4.div(f32x4.mul(lr4, f32x4.mul(m0, inv1)), d0);
      const step1 = f32x4.div(f32x4.mul(lr4, f32x4.mul(m1, inv1)), d1);
      v128.store(param + o, f32x4.sub(f32x4.mul(pa, keep4), step0));
      v128.store(param + o, f32x4.sub(f32x4.mul(pb, keep4), step1), 16);
    }
    for (let i = pairs; i < vec; i += 4) {
      const o = (<usize>i) << 2;
      const g = f32x4.mul(v128.load(grad + o), coef4);
      const mn = f32x4.add(f32x4.mul(b1, v128.load(m + o)), f32x4.mul(c1, g));
      const vn = f32x4.add(f32x4.mul(b2, v128.load(v + o)), f32x4.mul(f32x4.mul(c2, g), g));
      const denom = f32x4.add(f32x4.sqrt(f32x4.mul(vn, inv2)), eps4);
      const step = f32x4.div(f32x4.mul(lr4, f32x4.mul(mn, inv1)), denom);
      v128.store(param + o, f32x4.sub(f32x4.mul(v128.load(param + o), keep4), step));
      v128.store(m + o, mn);
      v128.store(v + o, vn);
    }
    for (let i = vec; i < end; i++) {
      const o = (<usize>i) << 2;
      const g = load<f32>(grad + o) * coef;
      const mn: f32 = beta1 * load<f32>(m + o) + (<f32>1.0 - beta1) * g;
      const vn: f32 = beta2 * load<f32>(v + o) + (<f32>1.0 - beta2) * g * g;
      store<f32>(m + o, mn);
      store<f32>(v + o, vn);
      const step: f32 = lr * (mn / bias_correction1) / (sqrt<f32>(vn / bias_correction2) + eps);
      store<f32>(param + o, load<f32>(param + o) * keep - step);
    }
  }
}
