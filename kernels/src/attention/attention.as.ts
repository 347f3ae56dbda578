// Attention with saved log-sum-exp; formulas and the segment table are in attention.wgsl.
//
// One work item is a block of 32 queries of one head (32 keys of one kv head in attention_bwd_dkdv), held as 4 panels of 8:
// panel[d][8] is the block transposed, so that 8 neighbours of the block lie in the SIMD lanes. The other side is streamed in
// tiles of 64 rows, read in place. Per panel and tile:
//   scores:     s[r][8]  = sum_d row[r][d] panel[d][8]        4 rows x 8 lanes in registers
//   then exp, mask and running max lane by lane, without a horizontal sum, and
//   accumulate: c[8][D] += sum_r s[r][8]^T row2[r][D]          4 x 8 in registers
// The last block is filled up with copies of its last row, which are never written out.
import { exp4_weights, fma4, hsum4, log1, TLS } from '../common/simd.as';

const BLOCK: i32 = 32;
const TILE: i32 = 64;
/** Bytes of one panel row, of one tile of scores. */
const ROW: usize = 32;
const SCORES: usize = 64 * 32;
const LOWEST: f32 = -3.4028234e38;

/** panels[g][d][8] = scale * x[8 g + 0..7][d]; rows beyond n repeat row n - 1. */
function pack(panels: usize, x: usize, ld: usize, n: i32, head_dim: i32, scale: f32): void {
  const scale4 = f32x4.splat(scale);
  const last = x + <usize>(n - 1) * ld;
  for (let r = 0; r < BLOCK; r += 4) {
    const x0 = min(x + <usize>r * ld, last);
    const x1 = min(x0 + ld, last);
    const x2 = min(x1 + ld, last);
    const x3 = min(x2 + ld, last);
    let to = panels + <usize>(r >> 3) * (<usize>head_dim * ROW) + (<usize>(r & 4) << 2);
    for (let d: usize = 0; d < (<usize>head_dim << 2); d += 16) {
      const a = f32x4.mul(v128.load(x0 + d), scale4);
      const b = f32x4.mul(v128.load(x1 + d), scale4);
      const c = f32x4.mul(v128.load(x2 + d), scale4);
      const e = f32x4.mul(v128.load(x3 + d), scale4);
      const ab01 = v128.shuffle<f32>(a, b, 0, 4, 1, 5);
      const ab23 = v128.shuffle<f32>(a, b, 2, 6, 3, 7);
      const ce01 = v128.shuffle<f32>(c, e, 0, 4, 1, 5);
      const ce23 = v128.shuffle<f32>(c, e, 2, 6, 3, 7);
      v128.store(to, v128.shuffle<f32>(ab01, ce01, 0, 1, 4, 5));
      v128.store(to, v128.shuffle<f32>(ab01, ce01, 2, 3, 6, 7), 32);
      v128.store(to, v128.shuffle<f32>(ab23, ce23, 0, 1, 4, 5), 64);
      v128.store(to, v128.shuffle<f32>(ab23, ce23, 2, 3, 6, 7), 96);
      to += 4 * ROW;
    }
  }
}

/** s[r][8] = sum_d x[r][d] panel[d][8] for r < n, rounded up to 4 rows (s has room; the surplus is never read). */
function scores(s: usize, x: usize, ld: usize, n: i32, panel: usize, head_dim: i32): void {
  const last = x + <usize>(n - 1) * ld;
  const end = panel + <usize>head_dim * ROW;
  for (let r = 0; r < n; r += 4) {
    let x0 = x + <usize>r * ld;
    let x1 = min(x0 + ld, last);
    let x2 = min(x1 + ld, last);
    let x3 = min(x2 + ld, last);
    let s00 = f32x4.splat(0), s01 = f32x4.splat(0);
    let s10 = f32x4.splat(0), s11 = f32x4.splat(0);
    let s20 = f32x4.splat(0), s21 = f32x4.splat(0);
    let s30 = f32x4.splat(0), s31 = f32x4.splat(0);
    for (let p = panel; p < end; p += 4 * ROW) {
      for (let u: usize = 0; u < 4; u++) {
        const b0 = v128.load(p + u * ROW);
        const b1 = v128.load(p + u * ROW, 16);
        let a = v128.load_splat<f32>(x0 + (u << 2));
        s00 = fma4(a, b0, s00); s01 = fma4(a, b1, s01);
        a = v128.load_splat<f32>(x1 + (u << 2));
        s10 = fma4(a, b0, s10); s11 = fma4(a, b1, s11);
        a = v128.load_splat<f32>(x2 + (u << 2));
        s20 = fma4(a, b0, s20); s21 = fma4(a, b1, s21);
        a = v128.load_splat<f32>(x3 + (u << 2));
        s30 = fma4(a, b0, s30); s31 = fma4(a, b1, s31);
      }
      x0 += 16; x1 += 16; x2 += 16; x3 += 16;
    }
    const to = s + <usize>r * ROW;
    v128.store(to, s00); v128.store(to, s01, 16);
    v128.store(to, s10, 32); v128.store(to, s11, 48);
    v128.store(to, s20, 64); v128.store(to, s21, 80);
    v128.store(to, s30, 96); v128.store(to, s31, 112);
  }
}

/** c[0..7][d] += sum_{r < n} s[r][0..7] x[r][d] for d < head_dim; rows of c follow each other without a gap. */
function accumulate(c: usize, s: usize, x: usize, ld: usize, n: i32, head_dim: i32): void {
  const ldc = <usize>head_dim << 2;
  const send = s + <usize>n * ROW;
  for (let half: usize = 0; half < 2; half++) {
    const c0 = c + half * 4 * ldc;
    const s0 = s + half * 16;
    let d: i32 = 0;
    for (; d + 8 <= head_dim; d += 8) {
      const to = c0 + (<usize>d << 2);
      let c00 = v128.load(to), c01 = v128.load(to, 16);
      let c10 = v128.load(to + ldc), c11 = v128.load(to + ldc, 16);
      let c20 = v128.load(to + 2 * ldc), c21 = v128.load(to + 2 * ldc, 16);
      let c30 = v128.load(to + 3 * ldc), c31 = v128.load(to + 3 * ldc, 16);
      let b = x + (<usize>d << 2);
      for (let a = s0; a < send; a += ROW) {
        const b0 = v128.load(b);
        const b1 = v128.load(b, 16);
        let v = v128.load_splat<f32>(a);
        c00 = fma4(v, b0, c00); c01 = fma4(v, b1, c01);
        v = v128.load_splat<f32>(a, 4);
        c10 = fma4(v, b0, c10); c11 = fma4(v, b1, c11);
        v = v128.load_splat<f32>(a, 8);
        c20 = fma4(v, b0, c20); c21 = fma4(v, b1, c21);
        v = v128.load_splat<f32>(a, 12);
        c30 = fma4(v, b0, c30); c31 = fma4(v, b1, c31);
        b += ld;
      }
      v128.store(to, c00); v128.store(to, c01, 16);
      v128.store(to + ldc, c10); v128.store(to + ldc, c11, 16);
      v128.store(to + 2 * ldc, c20); v128.store(to + 2 * ldc, c21, 16);
      v128.store(to + 3 * ldc, c30); v128.store(to + 3 * ldc, c31, 16);
    }
    if (d < head_dim) {
      const to = c0 + (<usize>d << 2);
      let c00 = v128.load(to), c10 = v128.load(to + ldc), c20 = v128.load(to + 2 * ldc), c30 = v128.load(to + 3 * ldc);
      let b = x + (<usize>d << 2);
      for (let a = s0; a < send; a += ROW) {
        const b0 = v128.load(b);
        c00 = fma4(v128.load_splat<f32>(a), b0, c00);
        c10 = fma4(v128.load_splat<f32>(a, 4), b0, c10);
        c20 = fma4(v128.load_splat<f32>(a, 8), b0, c20);
        c30 = fma4(v128.load_splat<f32>(a, 12), b0, c30);
        b += ld;
      }
      v128.store(to, c00); v128.store(to + ldc, c10); v128.store(to + 2 * ldc, c20); v128.store(to + 3 * ldc, c30);
    }
  }
}

/** to[row][d] = c[row][d] * factor for row < n. */
function write_out(to: usize, ld: usize, c: usize, n: i32, head_dim: i32, factor: f32): void {
  const f = f32x4.splat(factor);
  for (let r = 0; r < n; r++) {
    const row = to + <usize>r * ld;
    const from = c + <usize>r * (<usize>head_dim << 2);
    for (let d: usize = 0; d < (<usize>head_dim << 2); d += 16) v128.store(row + d, f32x4.mul(v128.load(from + d), f));
  }
}

// Row table of a block, in TLS: five arrays of 32 words: prefix start, prefix end, segment start, own index, q_end.
const PREFIX_END: usize = 128;
const SEG_START: usize = 256;
const SELF: usize = 384;
const Q_END: usize = 512;
const TABLE: usize = 640;

function load_table(table: usize, seg: usize, first: i32, n: i32): void {
  for (let r = 0; r < BLOCK; r++) {
    const i = first + min(r, n - 1);
    const from = seg + (<usize>i << 4);
    const to = table + (<usize>r << 2);
    store<i32>(to, load<i32>(from));
    store<i32>(to + PREFIX_END, load<i32>(from, 4));
    store<i32>(to + SEG_START, load<i32>(from, 8));
    store<i32>(to + SELF, i);
    store<i32>(to + Q_END, load<i32>(from, 12));
  }
}

// How much of a tile a panel sees.
const NONE: i32 = 0;
const SOME: i32 = 1;
const ALL: i32 = 2;

/** Keys [from, to) seen by the 8 queries of a panel. */
function keys_seen(panel: usize, from: i32, to: i32): i32 {
  let some = false;
  let all = true;
  for (let r: usize = 0; r < 32; r += 4) {
    const ps = load<i32>(panel + r);
    const pe = load<i32>(panel + r + PREFIX_END);
    const ss = load<i32>(panel + r + SEG_START);
    const i = load<i32>(panel + r + SELF);
    some = some || (max(ps, from) < min(pe, to)) || (max(ss, from) <= min(i, to - 1));
    all = all && ((ps <= from && pe >= to) || (ss <= from && i >= to - 1));
  }
  return all ? ALL : some ? SOME : NONE;
}

/** Queries [from, to) that see the 8 keys of a panel. */
function queries_seen(panel: usize, from: i32, to: i32): i32 {
  let some = false;
  let all = true;
  for (let r: usize = 0; r < 32; r += 4) {
    const j = load<i32>(panel + r + SELF);
    const end = load<i32>(panel + r + Q_END);
    some = some || max(j, from) < min(end, to);
    all = all && j <= from && end >= to;
  }
  return all ? ALL : some ? SOME : NONE;
}

/** Lanes of 4 queries that see key j. */
// @ts-ignore: decorator
@inline
function sees_key(lanes: usize, j: v128): v128 {
  const prefix = v128.and(i32x4.ge_s(j, v128.load(lanes)), i32x4.lt_s(j, v128.load(lanes + PREFIX_END)));
  return v128.or(prefix, v128.and(i32x4.ge_s(j, v128.load(lanes + SEG_START)), i32x4.le_s(j, v128.load(lanes + SELF))));
}

/** Lanes of 4 keys that query i sees. */
// @ts-ignore: decorator
@inline
function seen_by_query(lanes: usize, i: v128): v128 {
  return v128.and(i32x4.ge_s(i, v128.load(lanes + SELF)), i32x4.lt_s(i, v128.load(lanes + Q_END)));
}

/**
 * The keys that a block of queries can see, as two ranges: [min prefix start, max prefix end) and [min segment start, max index],
 * the second cut to begin where the first ends; segments that lie before a later sequence's prefix widen the first. To out[0..3].
 */
function key_ranges(out: usize, table: usize): void {
  let pa = i32.MAX_VALUE, pb = 0, sa = i32.MAX_VALUE, sb = 0;
  for (let r: usize = 0; r < 128; r += 4) {
    const ps = load<i32>(table + r);
    const pe = load<i32>(table + r + PREFIX_END);
    if (ps < pe) {
      pa = min(pa, ps);
      pb = max(pb, pe);
    }
    sa = min(sa, load<i32>(table + r + SEG_START));
    sb = max(sb, load<i32>(table + r + SELF) + 1);
  }
  store<i32>(out, pa < pb ? min(pa, sa) : pb);
  store<i32>(out, pb, 4);
  store<i32>(out, max(sa, pb), 8);
  store<i32>(out, sb, 12);
}

/**
 * Online softmax of one tile, 4 queries in the lanes: s[r] becomes exp(s[r] - m), m and l are brought up to date, and
 * alpha = exp(m_old - m) is what the sums so far must be multiplied by.
 */
function softmax_tile(s: usize, n: i32, key: i32, masked: bool, lanes: usize, m: usize, l: usize, alpha: usize): void {
  const lowest = f32x4.splat(LOWEST);
  let top = v128.load(m);
  const before = top;
  const end = s + <usize>n * ROW;
  if (masked) {
    let j = i32x4.splat(key);
    for (let a = s; a < end; a += ROW) {
      const x = v128.bitselect(v128.load(a), lowest, sees_key(lanes, j));
      v128.store(a, x);
      top = f32x4.pmax(top, x);
      j = i32x4.add(j, i32x4.splat(1));
    }
  } else {
    for (let a = s; a < end; a += ROW) top = f32x4.pmax(top, v128.load(a));
  }
  // A lane that has seen no key yet keeps l = 0: its exponents are LOWEST - 0.
  const base = v128.andnot(top, f32x4.eq(top, lowest));
  let sum = f32x4.splat(0);
  for (let a = s; a < end; a += ROW) {
    const e = exp4_weights(f32x4.sub(v128.load(a), base));
    v128.store(a, e);
    sum = f32x4.add(sum, e);
  }
  const factor = exp4_weights(f32x4.sub(before, base));
  v128.store(m, top);
  v128.store(l, fma4(v128.load(l), factor, sum));
  v128.store(alpha, factor);
}

/** c[row][d] *= alpha[row] for the 8 rows of a panel, unless all factors are 1. */
function rescale(c: usize, alpha: usize, head_dim: i32): void {
  const one = f32x4.splat(1);
  if (!v128.any_true(v128.or(f32x4.ne(v128.load(alpha), one), f32x4.ne(v128.load(alpha, 16), one)))) return;
  for (let r: usize = 0; r < 8; r++) {
    const f = v128.load_splat<f32>(alpha + (r << 2));
    const row = c + r * (<usize>head_dim << 2);
    for (let d: usize = 0; d < (<usize>head_dim << 2); d += 16) v128.store(row + d, f32x4.mul(v128.load(row + d), f));
  }
}

export function attention_fwd(
  o: usize, stats: usize, q: usize, k: usize, v: usize, seg: usize,
  tokens: i32, heads: i32, kv_heads: i32, head_dim: i32, scale: f32, lo: i32, hi: i32,
): void {
  const blocks = (tokens + BLOCK - 1) / BLOCK;
  const ldq = (<usize>heads * head_dim) << 2;
  const ldk = (<usize>kv_heads * head_dim) << 2;
  const block_bytes = (<usize>head_dim * BLOCK) << 2;
  const table = TLS;
  const ranges = table + TABLE;
  const m = ranges + 16;
  const l = m + 128;
  const alpha = l + 128;
  const s = alpha + 32;
  const panels = s + SCORES;
  const acc = panels + block_bytes;
  for (let w = lo; w < hi; w++) {
    // The longest blocks first: the last items to be handed out are short.
    const h = w % heads;
    const first = (blocks - 1 - w / heads) * BLOCK;
    const n = min(BLOCK, tokens - first);
    const head = (<usize>h * head_dim) << 2;
    const kv = (<usize>(h / (heads / kv_heads)) * head_dim) << 2;
    load_table(table, seg, first, n);
    key_ranges(ranges, table);
    pack(panels, q + <usize>first * ldq + head, ldq, n, head_dim, scale);
    memory.fill(acc, 0, block_bytes);
    memory.fill(l, 0, 128);
    for (let r: usize = 0; r < 128; r += 16) v128.store(m + r, f32x4.splat(LOWEST));
    for (let range: usize = 0; range < 16; range += 8) {
      const range_end = load<i32>(ranges + range, 4);
      for (let key = load<i32>(ranges + range); key < range_end; key += TILE) {
        const kt = k + <usize>key * ldk + kv;
        const vt = v + <usize>key * ldk + kv;
        for (let g: usize = 0; g < 4; g++) {
          const lanes = table + g * ROW;
          const rows = min(min(TILE, range_end - key), load<i32>(lanes + SELF, 28) + 1 - key);
          if (rows <= 0) continue;
          const seen = keys_seen(lanes, key, key + rows);
          if (seen == NONE) continue;
          const c = acc + g * ((<usize>head_dim * 8) << 2);
          scores(s, kt, ldk, rows, panels + g * (<usize>head_dim * ROW), head_dim);
          softmax_tile(s, rows, key, seen == SOME, lanes, m + g * ROW, l + g * ROW, alpha);
          softmax_tile(s + 16, rows, key, seen == SOME, lanes + 16, m + g * ROW + 16, l + g * ROW + 16, alpha + 16);
          rescale(c, alpha, head_dim);
          accumulate(c, s, vt, ldk, rows, head_dim);
        }
      }
    }
    for (let r = 0; r < n; r++) {
      const at = <usize>r << 2;
      const sum = load<f32>(l + at);
      write_out(o + <usize>(first + r) * ldq + head, ldq, acc + at * head_dim, 1, head_dim, 1 / sum);
      const stat = stats + ((<usize>(first + r) * heads + h) << 3);
      store<f32>(stat, load<f32>(m + at) + log1(sum));
      store<f32>(stat, 0, 4);
    }
  }
}

/** Work items are (token, head) rows. */
export function attention_bwd_delta(stats: usize, dO: usize, o: usize, tokens: i32, heads: i32, head_dim: i32, lo: i32, hi: i32): void {
  for (let r = lo; r < hi; r++) {
    const at = (<usize>r * head_dim) << 2;
    const end = at + (<usize>head_dim << 2);
    let sum = f32x4.splat(0);
    for (let d = at; d < end; d += 16) sum = fma4(v128.load(dO + d), v128.load(o + d), sum);
    store<f32>(stats + (<usize>r << 3), hsum4(sum), 4);
  }
}

export function attention_bwd_dq(
  dq: usize, dO: usize, q: usize, k: usize, v: usize, stats: usize, seg: usize,
  tokens: i32, heads: i32, kv_heads: i32, head_dim: i32, scale: f32, lo: i32, hi: i32,
): void {
  const blocks = (tokens + BLOCK - 1) / BLOCK;
  const ldq = (<usize>heads * head_dim) << 2;
  const ldk = (<usize>kv_heads * head_dim) << 2;
  const block_bytes = (<usize>head_dim * BLOCK) << 2;
  const table = TLS;
  const ranges = table + TABLE;
  const lse = ranges + 16;
  const delta = lse + 128;
  const s = delta + 128;
  const dp = s + SCORES;
  const panels = dp + SCORES;
  const do_panels = panels + block_bytes;
  const acc = do_panels + block_bytes;
  for (let w = lo; w < hi; w++) {
    const h = w % heads;
    const first = (blocks - 1 - w / heads) * BLOCK;
    const n = min(BLOCK, tokens - first);
    const head = (<usize>h * head_dim) << 2;
    const kv = (<usize>(h / (heads / kv_heads)) * head_dim) << 2;
    load_table(table, seg, first, n);
    key_ranges(ranges, table);
    pack(panels, q + <usize>first * ldq + head, ldq, n, head_dim, scale);
    pack(do_panels, dO + <usize>first * ldq + head, ldq, n, head_dim, 1);
    memory.fill(acc, 0, block_bytes);
    for (let r = 0; r < BLOCK; r++) {
      const stat = stats + ((<usize>(first + min(r, n - 1)) * heads + h) << 3);
      store<f32>(lse + (<usize>r << 2), load<f32>(stat));
      store<f32>(delta + (<usize>r << 2), load<f32>(stat, 4));
    }
    for (let range: usize = 0; range < 16; range += 8) {
      const range_end = load<i32>(ranges + range, 4);
      for (let key = load<i32>(ranges + range); key < range_end; key += TILE) {
        const kt = k + <usize>key * ldk + kv;
        const vt = v + <usize>key * ldk + kv;
        for (let g: usize = 0; g < 4; g++) {
          const lanes = table + g * ROW;
          const rows = min(min(TILE, range_end - key), load<i32>(lanes + SELF, 28) + 1 - key);
          if (rows <= 0) continue;
          const seen = keys_seen(lanes, key, key + rows);
          if (seen == NONE) continue;
          scores(s, kt, ldk, rows, panels + g * (<usize>head_dim * ROW), head_dim);
          scores(dp, vt, ldk, rows, do_panels + g * (<usize>head_dim * ROW), head_dim);
          for (let half: usize = 0; half < 32; half += 16) {
            const lse4 = v128.load(lse + g * ROW + half);
            const delta4 = v128.load(delta + g * ROW + half);
            let j = i32x4.splat(key);
            for (let at = half; at < <usize>rows * ROW; at += ROW) {
              let p = exp4_weights(f32x4.sub(v128.load(s + at), lse4));
              if (seen == SOME) p = v128.and(p, sees_key(lanes + half, j));
              v128.store(s + at, f32x4.mul(p, f32x4.sub(v128.load(dp + at), delta4)));
              j = i32x4.add(j, i32x4.splat(1));
            }
          }
          accumulate(acc + g * ((<usize>head_dim * 8) << 2), s, kt, ldk, rows, head_dim);
        }
      }
    }
    write_out(dq + <usize>first * ldq + head, ldq, acc, n, head_dim, scale);
  }
}

export function attention_bwd_dkdv(
  dk: usize, dv: usize, dO: usize, q: usize, k: usize, v: usize, stats: usize, seg: usize,
  tokens: i32, heads: i32, kv_heads: i32, head_dim: i32, scale: f32, lo: i32, hi: i32,
): void {
  const group = heads / kv_heads;
  const ldq = (<usize>heads * head_dim) << 2;
  const ldk = (<usize>kv_heads * head_dim) << 2;
  const block_bytes = (<usize>head_dim * BLOCK) << 2;
  const table = TLS;
  const s = table + TABLE;
  const dp = s + SCORES;
  const panels = dp + SCORES;
  const v_panels = panels + block_bytes;
  const dk_acc = v_panels + block_bytes;
  const dv_acc = dk_acc + block_bytes;
  for (let w = lo; w < hi; w++) {
    const kv_head = w % kv_heads;
    const first = (w / kv_heads) * BLOCK;
    const n = min(BLOCK, tokens - first);
    const kv = (<usize>kv_head * head_dim) << 2;
    load_table(table, seg, first, n);
    pack(panels, k + <usize>first * ldk + kv, ldk, n, head_dim, scale);
    pack(v_panels, v + <usize>first * ldk + kv, ldk, n, head_dim, 1);
    memory.fill(dk_acc, 0, 2 * block_bytes);
    let last = 0;
    for (let r: usize = 0; r < 128; r += 4) last = max(last, load<i32>(table + r + Q_END));
    for (let h = kv_head * group; h < (kv_head + 1) * group; h++) {
      const head = (<usize>h * head_dim) << 2;
      for (let query = first; query < last; query += TILE) {
        for (let g: usize = 0; g < 4; g++) {
          const lanes = table + g * ROW;
          // Queries before the panel's first key see none of it.
          const from = max(query, load<i32>(lanes + SELF));
          const rows = min(last, query + TILE) - from;
          if (rows <= 0) continue;
          const seen = queries_seen(lanes, from, from + rows);
          if (seen == NONE) continue;
          const qt = q + <usize>from * ldq + head;
          const dot = dO + <usize>from * ldq + head;
          scores(s, qt, ldq, rows, panels + g * (<usize>head_dim * ROW), head_dim);
          scores(dp, dot, ldq, rows, v_panels + g * (<usize>head_dim * ROW), head_dim);
          let stat = stats + ((<usize>from * heads + h) << 3);
          for (let r = 0; r < rows; r++) {
            const lse4 = v128.load_splat<f32>(stat);
            const delta4 = v128.load_splat<f32>(stat, 4);
            const at = <usize>r * ROW;
            let p0 = exp4_weights(f32x4.sub(v128.load(s + at), lse4));
            let p1 = exp4_weights(f32x4.sub(v128.load(s + at, 16), lse4));
            if (seen == SOME) {
              const i = i32x4.splat(from + r);
              p0 = v128.and(p0, seen_by_query(lanes, i));
              p1 = v128.and(p1, seen_by_query(lanes + 16, i));
            }
            v128.store(s + at, p0);
            v128.store(s + at, p1, 16);
            v128.store(dp + at, f32x4.mul(p0, f32x4.sub(v128.load(dp + at), delta4)));
            v128.store(dp + at, f32x4.mul(p1, f32x4.sub(v128.load(dp + at, 16), delta4)), 16);
            stat += <usize>heads << 3;
          }
          const c = g * ((<usize>head_dim * 8) << 2);
          accumulate(dv_acc + c, s, dot, ldq, rows, head_dim);
          accumulate(dk_acc + c, dp, qt, ldq, rows, head_dim);
        }
      }
    }
    write_out(dk + <usize>first * ldk + kv, ldk, dk_acc, n, head_dim, scale);
    write_out(dv + <usize>first * ldk + kv, ldk, dv_acc, n, head_dim, 1);
  }
}
