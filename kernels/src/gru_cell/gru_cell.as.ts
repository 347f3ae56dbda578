// One step of a GRU; formulas in gru_cell.wgsl. A work item is a row; its last 1..3 channels go through the same four-lane arithmetic,
// one at a time.
import { sigmoid4, tanh4 } from '../common/simd.as';

// @ts-ignore: decorator
@inline
function load4(at: usize, whole: bool): v128 {
  return whole ? v128.load(at) : v128.load32_splat(at);
}

// @ts-ignore: decorator
@inline
function store4(at: usize, value: v128, whole: bool): void {
  if (whole) v128.store(at, value);
  else store<f32>(at, f32x4.extract_lane(value, 0));
}

// @ts-ignore: decorator
@inline
function forward(y: usize, gi: usize, gh: usize, h: usize, d: usize, whole: bool): void {
  const r = sigmoid4(f32x4.add(load4(gi, whole), load4(gh, whole)));
  const z = sigmoid4(f32x4.add(load4(gi + d, whole), load4(gh + d, whole)));
  const n = tanh4(f32x4.add(load4(gi + 2 * d, whole), f32x4.mul(r, load4(gh + 2 * d, whole))));
  const one = f32x4.splat(1);
  store4(y, f32x4.add(f32x4.mul(f32x4.sub(one, z), n), f32x4.mul(z, load4(h, whole))), whole);
}

export function gru_cell_fwd(y: usize, gi: usize, gh: usize, h: usize, rows: i32, hidden: i32, lo: i32, hi: i32): void {
  const d = (<usize>hidden) << 2;
  const vec = d & ~15;
  for (let row = <usize>lo; row < <usize>hi; row++) {
    const one = row * d;
    const three = 3 * one;
    for (let o: usize = 0; o < vec; o += 16) forward(y + one + o, gi + three + o, gh + three + o, h + one + o, d, true);
    for (let o = vec; o < d; o += 4) forward(y + one + o, gi + three + o, gh + three + o, h + one + o, d, false);
  }
}

// @ts-ignore: decorator
@inline
function backward(dgi: usize, dgh: usize, dh: usize, dy: usize, gi: usize, gh: usize, h: usize, d: usize, whole: bool): void {
  const one = f32x4.splat(1);
  const hn = load4(gh + 2 * d, whole);
  const r = sigmoid4(f32x4.add(load4(gi, whole), load4(gh, whole)));
  const z = sigmoid4(f32x4.add(load4(gi + d, whole), load4(gh + d, whole)));
  const n = tanh4(f32x4.add(load4(gi + 2 * d, whole), f32x4.mul(r, hn)));
  const g = load4(dy, whole);
  const keep = f32x4.sub(one, z);
  const dn = f32x4.mul(f32x4.mul(g, keep), f32x4.sub(one, f32x4.mul(n, n)));
  const dz = f32x4.mul(f32x4.mul(g, f32x4.sub(load4(h, whole), n)), f32x4.mul(z, keep));
  const dr = f32x4.mul(f32x4.mul(dn, hn), f32x4.mul(r, f32x4.sub(one, r)));
  store4(dgi, dr, whole);
  store4(dgi + d, dz, whole);
  store4(dgi + 2 * d, dn, whole);
  store4(dgh, dr, whole);
  store4(dgh + d, dz, whole);
  store4(dgh + 2 * d, f32x4.mul(dn, r), whole);
  store4(dh, f32x4.mul(g, z), whole);
}

export function gru_cell_bwd(
  dgi: usize, dgh: usize, dh: usize, dy: usize, gi: usize, gh: usize, h: usize, rows: i32, hidden: i32, lo: i32, hi: i32,
): void {
  const d = (<usize>hidden) << 2;
  const vec = d & ~15;
  for (let row = <usize>lo; row < <usize>hi; row++) {
    const one = row * d;
    const three = 3 * one;
    for (let o: usize = 0; o < vec; o += 16) {
      backward(dgi + three + o, dgh + three + o, dh + one + o, dy + one + o, gi + three + o, gh + three + o, h + one + o, d, true);
    }
    for (let o = vec; o < d; o += 4) {
      backward(dgi + three + o, dgh + three + o, dh + one + o, dy + one + o, gi + three + o, gh + three + o, h + one + o, d, false);
    }
  }
}
