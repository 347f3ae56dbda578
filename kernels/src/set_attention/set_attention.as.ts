// Full attention over a small set of tokens; formulas and layouts in set_attention.wgsl. One work item per (patient, head): its keys
// and values are gathered into scratch once (their rows lie batch x hidden apart), widths padded to 4 with zeros.
import { TLS, exp1, exp4, fma4, hsum4 } from '../common/simd.as';

// @ts-ignore: decorator
@inline
function at(base: usize, index: usize): usize {
  return base + (index << 2);
}

/** to[c][j] = from[j][c], j-rows `stride` elements apart; to has rows of sp. */
function gatherTransposed(to: usize, sp: i32, from: usize, stride: usize, tokens: i32, e: i32): void {
  for (let j = 0; j < tokens; j++) {
    const row = at(from, <usize>j * stride);
    for (let c = 0; c < e; c++) store<f32>(at(to, <usize>c * sp + j), load<f32>(at(row, c)));
  }
}

/** to[j][c] = from[j][c]; to has rows of ep. */
function gather(to: usize, ep: i32, from: usize, stride: usize, tokens: i32, e: i32): void {
  for (let j = 0; j < tokens; j++) memory.copy(at(to, <usize>j * ep), at(from, <usize>j * stride), (<usize>e) << 2);
}

function scatter(to: usize, stride: usize, from: usize, ep: i32, tokens: i32, e: i32): void {
  for (let j = 0; j < tokens; j++) memory.copy(at(to, <usize>j * stride), at(from, <usize>j * ep), (<usize>e) << 2);
}

/** row[j] = sum_c x[c] m[c][j], 16 columns at a time; sp a multiple of 4. */
function vectorTimesMatrix(row: usize, x: usize, m: usize, e: i32, sp: i32): void {
  let j = 0;
  for (; j + 16 <= sp; j += 16) {
    let s0 = f32x4.splat(0), s1 = s0, s2 = s0, s3 = s0;
    let b = at(m, j);
    for (let c = 0; c < e; c++) {
      const a = v128.load32_splat(at(x, c));
      s0 = fma4(a, v128.load(b), s0);
      s1 = fma4(a, v128.load(b, 16), s1);
      s2 = fma4(a, v128.load(b, 32), s2);
      s3 = fma4(a, v128.load(b, 48), s3);
      b += (<usize>sp) << 2;
    }
    const o = at(row, j);
    v128.store(o, s0); v128.store(o, s1, 16); v128.store(o, s2, 32); v128.store(o, s3, 48);
  }
  for (; j < sp; j += 4) {
    let s = f32x4.splat(0);
    for (let c = 0; c < e; c++) s = fma4(v128.load32_splat(at(x, c)), v128.load(at(m, <usize>c * sp + j)), s);
    v128.store(at(row, j), s);
  }
}

/** y += s x over n floats, n a multiple of 4. */
// @ts-ignore: decorator
@inline
function axpy(y: usize, s: f32, x: usize, n: i32): void {
  const s4 = f32x4.splat(s);
  for (let c = 0; c < n; c += 4) v128.store(at(y, c), fma4(s4, v128.load(at(x, c)), v128.load(at(y, c))));
}

export function set_attention_fwd(
  out: usize, p: usize, q: usize, k: usize, v: usize,
  queries: i32, tokens: i32, batch: i32, hidden: i32, heads: i32, scale: f32, lo: i32, hi: i32,
): void {
  const e = hidden / heads;
  const ep = (e + 3) & ~3;
  const sp = (tokens + 3) & ~3;
  const kt = TLS;
  const vs = at(kt, <usize>e * sp);
  const row = at(vs, <usize>tokens * ep);
  const sum = at(row, sp);
  const stride = <usize>batch * hidden;
  const n4 = tokens & ~3;
  memory.fill(TLS, 0, (<usize>e * sp + <usize>tokens * ep) << 2);
  for (let item = lo; item < hi; item++) {
    const base = <usize>(item / heads) * hidden + (item % heads) * e;
    gatherTransposed(kt, sp, at(k, base), stride, tokens, e);
    gather(vs, ep, at(v, base), stride, tokens, e);
    for (let i = 0; i < queries; i++) {
      vectorTimesMatrix(row, at(q, <usize>i * stride + base), kt, e, sp);
      let m: f32 = -f32.MAX_VALUE;
      for (let j = 0; j < tokens; j++) m = max(m, scale * load<f32>(at(row, j)));
      const m4 = f32x4.splat(m), scale4 = f32x4.splat(scale);
      let l4 = f32x4.splat(0);
      for (let j = 0; j < n4; j += 4) {
        const x = exp4(f32x4.sub(f32x4.mul(scale4, v128.load(at(row, j))), m4));
        v128.store(at(row, j), x);
        l4 = f32x4.add(l4, x);
      }
      let l = hsum4(l4);
      for (let j = n4; j < tokens; j++) {
        const x = exp1(scale * load<f32>(at(row, j)) - m);
        store<f32>(at(row, j), x);
        l += x;
      }
      const weights = at(p, (<usize>item * queries + i) * tokens);
      memory.fill(sum, 0, (<usize>ep) << 2);
      for (let j = 0; j < tokens; j++) {
        const w: f32 = load<f32>(at(row, j)) / l;
        store<f32>(at(weights, j), w);
        axpy(sum, w, at(vs, <usize>j * ep), ep);
      }
      memory.copy(at(out, <usize>i * stride + base), sum, (<usize>e) << 2);
    }
  }
}

export function set_attention_bwd(
  dq: usize, dk: usize, dv: usize, p: usize, dout: usize, q: usize, k: usize, v: usize,
  queries: i32, tokens: i32, batch: i32, hidden: i32, heads: i32, scale: f32, lo: i32, hi: i32,
): void {
  const e = hidden / heads;
  const ep = (e + 3) & ~3;
  const sp = (tokens + 3) & ~3;
  const block = <usize>tokens * ep;
  const vt = TLS;
  const ks = at(vt, <usize>e * sp);
  const dks = at(ks, block);
  const dvs = at(dks, block);
  const dp = at(dvs, block);
  const qi = at(dp, sp);
  const di = at(qi, ep);
  const dqi = at(di, ep);
  const stride = <usize>batch * hidden;
  memory.fill(TLS, 0, (<usize>e * sp + 3 * block + sp + 3 * ep) << 2);
  for (let item = lo; item < hi; item++) {
    const base = <usize>(item / heads) * hidden + (item % heads) * e;
    gatherTransposed(vt, sp, at(v, base), stride, tokens, e);
    gather(ks, ep, at(k, base), stride, tokens, e);
    memory.fill(dks, 0, (2 * block) << 2);
    for (let i = 0; i < queries; i++) {
      const here = <usize>i * stride + base;
      memory.copy(qi, at(q, here), (<usize>e) << 2);
      memory.copy(di, at(dout, here), (<usize>e) << 2);
      memory.fill(dqi, 0, (<usize>ep) << 2);
      vectorTimesMatrix(dp, di, vt, e, sp);
      const weights = at(p, (<usize>item * queries + i) * tokens);
      let mean: f32 = 0;
      for (let j = 0; j < tokens; j++) mean += load<f32>(at(weights, j)) * load<f32>(at(dp, j));
      for (let j = 0; j < tokens; j++) {
        const w = load<f32>(at(weights, j));
        const ds: f32 = scale * w * (load<f32>(at(dp, j)) - mean);
        store<f32>(at(weights, j), ds);
        const o = <usize>j * ep;
        axpy(at(dvs, o), w, di, ep);
        axpy(at(dks, o), ds, qi, ep);
        axpy(dqi, ds, at(ks, o), ep);
      }
      memory.copy(at(dq, here), dqi, (<usize>e) << 2);
    }
    scatter(at(dk, base), stride, dks, ep, tokens, e);
    scatter(at(dv, base), stride, dvs, ep, tokens, e);
  }
}
