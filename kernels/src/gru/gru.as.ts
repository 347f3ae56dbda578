// F independent GRUs over packed visits; formulas and layouts in gru.wgsl. Four patients step through time together; every product
// is a 4 x 8 register tile over a weight panel of 8 columns, packed once per launch and zero beyond the hidden size D (dp = D rounded
// up to 8). The 4-row operand is interleaved: element (row r, index k) at k * 4 + r.
import { TLS, fma4, sigmoid4, tanh4 } from '../common/simd.as';

const ROWS: i32 = 4;

// @ts-ignore: decorator
@inline
function at(base: usize, index: usize): usize {
  return base + (index << 2);
}

// @ts-ignore: decorator
@inline
function copy(to: usize, from: usize, elements: i32): void {
  memory.copy(to, from, (<usize>elements) << 2);
}

/** c (4 rows, 8 columns; rows c_stride bytes apart) = [c +] a (n, 4)^T b (n, 8). */
function tile4x8(c: usize, c_stride: usize, a: usize, b: usize, n: i32, add: bool): void {
  let c00 = f32x4.splat(0), c01 = c00, c10 = c00, c11 = c00, c20 = c00, c21 = c00, c30 = c00, c31 = c00;
  const c1 = c + c_stride, c2 = c1 + c_stride, c3 = c2 + c_stride;
  if (add) {
    c00 = v128.load(c); c01 = v128.load(c, 16);
    c10 = v128.load(c1); c11 = v128.load(c1, 16);
    c20 = v128.load(c2); c21 = v128.load(c2, 16);
    c30 = v128.load(c3); c31 = v128.load(c3, 16);
  }
  for (let k = 0; k < n; k++) {
    const b0 = v128.load(b), b1 = v128.load(b, 16);
    let s = v128.load32_splat(a);
    c00 = fma4(s, b0, c00); c01 = fma4(s, b1, c01);
    s = v128.load32_splat(a, 4);
    c10 = fma4(s, b0, c10); c11 = fma4(s, b1, c11);
    s = v128.load32_splat(a, 8);
    c20 = fma4(s, b0, c20); c21 = fma4(s, b1, c21);
    s = v128.load32_splat(a, 12);
    c30 = fma4(s, b0, c30); c31 = fma4(s, b1, c31);
    a += 16;
    b += 32;
  }
  v128.store(c, c00); v128.store(c, c01, 16);
  v128.store(c1, c10); v128.store(c1, c11, 16);
  v128.store(c2, c20); v128.store(c2, c21, 16);
  v128.store(c3, c30); v128.store(c3, c31, 16);
}

/** Lanes of v to the interleaved places of row r at indices k .. k+3. */
// @ts-ignore: decorator
@inline
function storeInterleaved(base: usize, k: i32, r: i32, v: v128): void {
  const to = at(base, (<usize>k << 2) + r);
  v128.store_lane<f32>(to, v, 0);
  v128.store_lane<f32>(to, v, 1, 16);
  v128.store_lane<f32>(to, v, 2, 32);
  v128.store_lane<f32>(to, v, 3, 48);
}

// @ts-ignore: decorator
@inline
function length(starts: usize, b: i32): i32 {
  return <i32>(load<u32>(at(starts, b + 1)) - load<u32>(at(starts, b)));
}

// @ts-ignore: decorator
@inline
function longest(starts: usize, b0: i32, rows: i32): i32 {
  let steps = 0;
  for (let r = 0; r < rows; r++) steps = max(steps, length(starts, b0 + r));
  return steps;
}

/** Phase 1: panels[f][gate][q][k][8] = W_hh[f][gate D + 8q ..][k]; one work item per panel. */
export function gru_fwd_pack(
  h: usize, gates: usize, x: usize, w_ih: usize, w_hh: usize, b_ih: usize, b_hh: usize, starts: usize,
  features: i32, batch: i32, visits: i32, hidden: i32, panels: usize, lo: i32, hi: i32,
): void {
  const np = (hidden + 7) >> 3;
  for (let w = lo; w < hi; w++) {
    const q = w % np;
    const gate = w / np;
    const to = at(panels, <usize>w * hidden * 8);
    for (let c = 0; c < 8; c++) {
      const j = q * 8 + c;
      if (j < hidden) {
        const from = at(w_hh, (<usize>gate * hidden + j) * hidden);
        for (let k = 0; k < hidden; k++) store<f32>(at(to, <usize>k * 8 + c), load<f32>(at(from, k)));
      } else {
        for (let k = 0; k < hidden; k++) store<f32>(at(to, <usize>k * 8 + c), 0);
      }
    }
  }
}

/** Phase 2: one work item per feature and block of four patients. */
export function gru_fwd(
  h: usize, gates: usize, x: usize, w_ih: usize, w_hh: usize, b_ih: usize, b_hh: usize, starts: usize,
  features: i32, batch: i32, visits: i32, hidden: i32, panels: usize, lo: i32, hi: i32,
): void {
  const np = (hidden + 7) >> 3;
  const dp = np * 8;
  const blocks = (batch + ROWS - 1) / ROWS;
  // Scratch rows of dp floats: state (4), then per patient r, z, hn, n (16), the new state, then w and b of r, z, n and b_hn.
  const row = (<usize>dp) << 2;
  const state = TLS;
  const acc = state + 4 * row;
  const next = acc + 16 * row;
  const w_r = next + row, w_z = w_r + row, w_n = w_z + row;
  const c_r = w_n + row, c_z = c_r + row, c_n = c_z + row, c_hn = c_n + row;
  const d1 = (<usize>hidden) << 2;
  for (let item = lo; item < hi; item++) {
    const f = item / blocks;
    const b0 = (item % blocks) * ROWS;
    const rows = min(ROWS, batch - b0);
    const steps = longest(starts, b0, rows);
    memory.fill(state, 0, 28 * row);
    const wf = at(w_ih, <usize>f * 3 * hidden), bi = at(b_ih, <usize>f * 3 * hidden), bh = at(b_hh, <usize>f * 3 * hidden);
    copy(w_r, wf, hidden);
    copy(w_z, wf + d1, hidden);
    copy(w_n, wf + 2 * d1, hidden);
    copy(c_n, bi + 2 * d1, hidden);
    copy(c_hn, bh + 2 * d1, hidden);
    for (let j = 0; j < hidden; j++) {
      store<f32>(at(c_r, j), load<f32>(at(bi, j)) + load<f32>(at(bh, j)));
      store<f32>(at(c_z, j), load<f32>(at(bi + d1, j)) + load<f32>(at(bh + d1, j)));
    }
    for (let s = 0; s < steps; s++) {
      if (s > 0) {
        for (let gate = 0; gate < 3; gate++) {
          for (let q = 0; q < np; q++) {
            const panel = at(panels, ((<usize>f * 3 + gate) * np + q) * hidden * 8);
            tile4x8(at(acc + gate * row, q * 8), 4 * row, state, panel, hidden, false);
          }
        }
      }
      for (let r = 0; r < rows; r++) {
        if (s >= length(starts, b0 + r)) continue;
        const v = <usize>f * visits + load<u32>(at(starts, b0 + r)) + s;
        const xv = v128.load32_splat(at(x, v));
        const a_r = acc + 4 * r * row, a_z = a_r + row, a_hn = a_z + row, a_n = a_hn + row;
        for (let j = 0; j < dp; j += 4) {
          const o = (<usize>j) << 2;
          const rg = sigmoid4(fma4(v128.load(w_r + o), xv, f32x4.add(v128.load(c_r + o), v128.load(a_r + o))));
          const zg = sigmoid4(fma4(v128.load(w_z + o), xv, f32x4.add(v128.load(c_z + o), v128.load(a_z + o))));
          const hn = f32x4.add(v128.load(c_hn + o), v128.load(a_hn + o));
          const ng = tanh4(fma4(rg, hn, fma4(v128.load(w_n + o), xv, v128.load(c_n + o))));
          let before = f32x4.splat(load<f32>(at(state, (<usize>j << 2) + r)));
          before = f32x4.replace_lane(before, 1, load<f32>(at(state, (<usize>j << 2) + 4 + r)));
          before = f32x4.replace_lane(before, 2, load<f32>(at(state, (<usize>j << 2) + 8 + r)));
          before = f32x4.replace_lane(before, 3, load<f32>(at(state, (<usize>j << 2) + 12 + r)));
          const hv = f32x4.add(ng, f32x4.mul(zg, f32x4.sub(before, ng)));
          v128.store(a_r + o, rg);
          v128.store(a_z + o, zg);
          v128.store(a_hn + o, hn);
          v128.store(a_n + o, ng);
          v128.store(next + o, hv);
          storeInterleaved(state, j, r, hv);
        }
        const to = at(gates, v * 4 * hidden);
        copy(to, a_r, hidden);
        copy(to + d1, a_z, hidden);
        copy(to + 2 * d1, a_n, hidden);
        copy(to + 3 * d1, a_hn, hidden);
        copy(at(h, v * hidden), next, hidden);
      }
    }
  }
}

/** Phase 1: panels[f][q][gate dp + j][8] = W_hh[f][gate D + j][8q ..], zero beyond D; one work item per panel. */
export function gru_bwd_pack(
  dh: usize, gates: usize, h: usize, w_hh: usize, starts: usize,
  features: i32, batch: i32, visits: i32, hidden: i32, panels: usize, lo: i32, hi: i32,
): void {
  const np = (hidden + 7) >> 3;
  const dp = np * 8;
  for (let w = lo; w < hi; w++) {
    const q = w % np;
    const f = w / np;
    const to = at(panels, <usize>w * 3 * dp * 8);
    memory.fill(to, 0, (<usize>3 * dp * 8) << 2);
    const cols = min(8, hidden - q * 8);
    for (let gate = 0; gate < 3; gate++) {
      for (let j = 0; j < hidden; j++) {
        copy(at(to, (<usize>gate * dp + j) * 8), at(w_hh, ((<usize>f * 3 + gate) * hidden + j) * hidden + q * 8), cols);
      }
    }
  }
}

/** Phase 2: one work item per feature and block of four patients. */
export function gru_bwd(
  dh: usize, gates: usize, h: usize, w_hh: usize, starts: usize,
  features: i32, batch: i32, visits: i32, hidden: i32, panels: usize, lo: i32, hi: i32,
): void {
  const np = (hidden + 7) >> 3;
  const dp = np * 8;
  const blocks = (batch + ROWS - 1) / ROWS;
  // Scratch rows of dp floats: dgh interleaved (12), carry (4), direct part dh z (4), r, z, n, hn, h before, dh (6).
  const row = (<usize>dp) << 2;
  const dgh = TLS;
  const carry = dgh + 12 * row;
  const direct = carry + 4 * row;
  const g_r = direct + 4 * row, g_z = g_r + row, g_n = g_z + row, g_hn = g_n + row;
  const before = g_hn + row, dv = before + row;
  const d1 = (<usize>hidden) << 2;
  const one = f32x4.splat(1);
  for (let item = lo; item < hi; item++) {
    const f = item / blocks;
    const b0 = (item % blocks) * ROWS;
    const rows = min(ROWS, batch - b0);
    const steps = longest(starts, b0, rows);
    memory.fill(TLS, 0, 26 * row);
    for (let s = steps - 1; s >= 0; s--) {
      for (let r = 0; r < rows; r++) {
        if (s >= length(starts, b0 + r)) continue;
        const v = <usize>f * visits + load<u32>(at(starts, b0 + r)) + s;
        const g = at(gates, v * 4 * hidden);
        copy(g_r, g, hidden);
        copy(g_z, g + d1, hidden);
        copy(g_n, g + 2 * d1, hidden);
        copy(g_hn, g + 3 * d1, hidden);
        copy(dv, at(dh, v * hidden), hidden);
        if (s > 0) copy(before, at(h, (v - 1) * hidden), hidden);
        else memory.fill(before, 0, row);
        const carry_r = carry + r * row, direct_r = direct + r * row;
        for (let j = 0; j < dp; j += 4) {
          const o = (<usize>j) << 2;
          const rg = v128.load(g_r + o), zg = v128.load(g_z + o), ng = v128.load(g_n + o), hn = v128.load(g_hn + o);
          const t = f32x4.add(v128.load(dv + o), f32x4.add(v128.load(carry_r + o), v128.load(direct_r + o)));
          const dn = f32x4.mul(f32x4.mul(t, f32x4.sub(one, zg)), f32x4.sub(one, f32x4.mul(ng, ng)));
          const dr = f32x4.mul(f32x4.mul(dn, hn), f32x4.mul(rg, f32x4.sub(one, rg)));
          const dz = f32x4.mul(f32x4.mul(t, f32x4.sub(v128.load(before + o), ng)), f32x4.mul(zg, f32x4.sub(one, zg)));
          const dhn = f32x4.mul(dn, rg);
          v128.store(direct_r + o, f32x4.mul(t, zg));
          v128.store(dv + o, t);
          v128.store(g_r + o, dr);
          v128.store(g_z + o, dz);
          v128.store(g_n + o, dn);
          v128.store(g_hn + o, dhn);
          storeInterleaved(dgh, j, r, dr);
          storeInterleaved(dgh, dp + j, r, dz);
          storeInterleaved(dgh, 2 * dp + j, r, dhn);
        }
        copy(g, g_r, hidden);
        copy(g + d1, g_z, hidden);
        copy(g + 2 * d1, g_n, hidden);
        copy(g + 3 * d1, g_hn, hidden);
        copy(at(dh, v * hidden), dv, hidden);
      }
      if (s > 0) {
        for (let q = 0; q < np; q++) {
          tile4x8(at(carry, q * 8), row, dgh, at(panels, (<usize>f * np + q) * 3 * dp * 8), 3 * dp, false);
        }
      }
    }
  }
}

/** Phase 1: panels[f][q][m][8] = h[f, v - 1, 8q ..] for the m-th visit v that follows another; one work item per panel. */
export function gru_bwd_params_pack(
  dw_hh: usize, dw_ih: usize, db_ih: usize, db_hh: usize, dgates: usize, h: usize, x: usize, starts: usize,
  features: i32, batch: i32, visits: i32, hidden: i32, panels: usize, lo: i32, hi: i32,
): void {
  const np = (hidden + 7) >> 3;
  for (let w = lo; w < hi; w++) {
    const q = w % np;
    const f = w / np;
    const cols = min(8, hidden - q * 8);
    let to = at(panels, <usize>w * visits * 8);
    for (let b = 0; b < batch; b++) {
      const end = <i32>load<u32>(at(starts, b + 1));
      for (let v = <i32>load<u32>(at(starts, b)); v + 1 < end; v++) {
        if (cols < 8) memory.fill(to, 0, 32);
        copy(to, at(h, (<usize>f * visits + v) * hidden + q * 8), cols);
        to += 32;
      }
    }
  }
}

/** Visits per pass and gate rows per work item: a panel's part (8 KiB) stays in the nearest cache for all rows of the item. */
const CHUNK: i32 = 256;
const JB: i32 = 32;

/** Phase 2: one work item per feature and JB gate rows. */
export function gru_bwd_params(
  dw_hh: usize, dw_ih: usize, db_ih: usize, db_hh: usize, dgates: usize, h: usize, x: usize, starts: usize,
  features: i32, batch: i32, visits: i32, hidden: i32, panels: usize, lo: i32, hi: i32,
): void {
  const np = (hidden + 7) >> 3;
  const jb = (3 * hidden + JB - 1) / JB;
  // Scratch: the 4 x 8 tiles [JB / 4][np], kept over the chunks; then the gathered rows [JB / 4][CHUNK][4].
  const acc = TLS;
  const a = at(acc, <usize>JB * np * 8);
  for (let item = lo; item < hi; item++) {
    const f = item / jb;
    const j0 = (item % jb) * JB;
    const rows = min(JB, 3 * hidden - j0);
    const tiles = (rows + 3) >> 2;
    const first = <usize>f * 3 * hidden + j0;
    inputGradients(dw_ih, db_ih, db_hh, dgates, x, <usize>f * visits, visits, hidden, j0, rows, first);
    memory.fill(acc, 0, (<usize>JB * np * 8) << 2);
    memory.fill(a, 0, (<usize>JB * CHUNK) << 2);
    let m = 0;
    let done = 0;
    for (let b = 0; b < batch; b++) {
      const end = <i32>load<u32>(at(starts, b + 1));
      for (let v = <i32>load<u32>(at(starts, b)) + 1; v < end; v++) {
        const from = (<usize>f * visits + v) * 4 * hidden;
        for (let r = 0; r < rows; r += 4) {
          const j = j0 + r;
          const to = at(a, (<usize>(r >> 2) * CHUNK + m) * 4);
          if (r + 4 <= rows && (j + 4 <= 2 * hidden || j >= 2 * hidden)) {
            v128.store(to, v128.load(at(dgates, from + j + (j >= 2 * hidden ? hidden : 0))));
          } else {
            for (let c = 0; c < min(4, rows - r); c++) {
              store<f32>(at(to, c), load<f32>(at(dgates, from + j + c + (j + c >= 2 * hidden ? hidden : 0))));
            }
          }
        }
        if (++m == CHUNK) {
          addProducts(acc, a, at(panels, (<usize>f * np * visits + done) * 8), visits, np, tiles, m);
          done += m;
          m = 0;
        }
      }
    }
    addProducts(acc, a, at(panels, (<usize>f * np * visits + done) * 8), visits, np, tiles, m);
    for (let r = 0; r < rows; r++) {
      const tile = at(acc, <usize>(r >> 2) * np * 32 + (r & 3) * 8);
      const to = at(dw_hh, (first + r) * hidden);
      for (let i = 0; i < hidden; i++) {
        const o = at(to, i);
        store<f32>(o, load<f32>(o) + load<f32>(at(tile, <usize>(i >> 3) * 32 + (i & 7))));
      }
    }
  }
}

/** Every tile of the item += its m gathered rows times the m rows of each panel; panels lie visits x 8 apart. */
function addProducts(acc: usize, a: usize, panel: usize, visits: i32, np: i32, tiles: i32, m: i32): void {
  for (let q = 0; q < np; q++) {
    for (let tile = 0; tile < tiles; tile++) {
      tile4x8(at(acc, <usize>(tile * np + q) * 32), 32, at(a, <usize>tile * CHUNK * 4), panel, m, true);
    }
    panel = at(panel, <usize>visits * 8);
  }
}

/** y += s x over n floats. */
// @ts-ignore: decorator
@inline
function addScaled(y: usize, s: f32, x: usize, n: i32): void {
  const s4 = f32x4.splat(s);
  const vec = n & ~3;
  for (let i = 0; i < vec; i += 4) v128.store(at(y, i), fma4(s4, v128.load(at(x, i)), v128.load(at(y, i))));
  for (let i = vec; i < n; i++) store<f32>(at(y, i), load<f32>(at(y, i)) + s * load<f32>(at(x, i)));
}

/** The sums over all visits that involve no state: dw_ih, db_ih and db_hh of `rows` gate rows from j0 on, `first` in the outputs. */
function inputGradients(
  dw_ih: usize, db_ih: usize, db_hh: usize, dgates: usize, x: usize,
  base: usize, visits: i32, hidden: i32, j0: i32, rows: i32, first: usize,
): void {
  // Rows before 2D have one gradient for both biases; of n, the recurrent one (dhn) lies D further on.
  const same = min(rows, max(0, 2 * hidden - j0));
  for (let v = 0; v < visits; v++) {
    const n = base + v;
    const from = at(dgates, n * 4 * hidden + j0);
    addScaled(at(dw_ih, first), load<f32>(at(x, n)), from, rows);
    addScaled(at(db_ih, first), 1, from, rows);
    addScaled(at(db_hh, first), 1, from, same);
    addScaled(at(db_hh, first + same), 1, at(from, same + hidden), rows - same);
  }
}
