// Draws one token per row; definitions in sampling.wgsl. Rows lo..hi belong to the calling thread.
// exp(logit - max) of every column is kept in `scratch` (rows, vocab), so that each step of a search only compares and adds.
import { TLS, exp1, hsum4, log1 } from '../common/simd.as';
import { row_max, row_sums } from '../common/row_softmax.as';
import { threefry1, uniform01 } from '../common/threefry.as';

const NO_TOKEN: u32 = 0xffffffff;
/** exp(-200) is 0 in f32, as in common/row_softmax.as.ts. */
const FLOOR: f32 = -200.0;
/** Columns summed by themselves, in the total as in the draw, so that both see the same partial sums. */
const RUN: i32 = 256;

// An unsigned integer that orders as the number does, and back.
// @ts-ignore: decorator
@inline
function key_of(x: f32): u32 {
  const bits = reinterpret<u32>(x);
  return bits >= 0x80000000 ? ~bits : bits | 0x80000000;
}

// @ts-ignore: decorator
@inline
function of_key(key: u32): f32 {
  return reinterpret<f32>(key >= 0x80000000 ? key & 0x7fffffff : ~key);
}

function count_from(x: usize, cols: i32, threshold: f32): i32 {
  const vec = cols & ~3;
  const t4 = f32x4.splat(threshold);
  let n4 = i32x4.splat(0);
  for (let c = 0; c < vec; c += 4) n4 = i32x4.sub(n4, f32x4.ge(v128.load(x + ((<usize>c) << 2)), t4));
  let n = i32x4.extract_lane(n4, 0) + i32x4.extract_lane(n4, 1) + i32x4.extract_lane(n4, 2) + i32x4.extract_lane(n4, 3);
  for (let c = vec; c < cols; c++) n += i32(load<f32>(x + ((<usize>c) << 2)) >= threshold);
  return n;
}

// Mass of the columns from .. to whose logit is at or above the threshold.
function run_mass(x: usize, e: usize, from: i32, to: i32, threshold: f32): f32 {
  const vec = from + ((to - from) & ~3);
  const t4 = f32x4.splat(threshold);
  let s4 = f32x4.splat(0);
  for (let c = from; c < vec; c += 4) {
    const o = (<usize>c) << 2;
    s4 = f32x4.add(s4, v128.and(v128.load(e + o), f32x4.ge(v128.load(x + o), t4)));
  }
  let s = hsum4(s4);
  for (let c = vec; c < to; c++) {
    const o = (<usize>c) << 2;
    if (load<f32>(x + o) >= threshold) s += load<f32>(e + o);
  }
  return s;
}

function mass_from(x: usize, e: usize, cols: i32, threshold: f32): f32 {
  let s: f32 = 0;
  for (let c = 0; c < cols; c += RUN) s += run_mass(x, e, c, min(c + RUN, cols), threshold);
  return s;
}

// Smallest logit that top-k, top-p and min-p keep. Invariant of the searches: the set from `at` on is large enough, that from
// `above` on is not (above the maximum m it is empty); for min-p, `above` has enough mass and `low` has not.
function threshold_of(x: usize, e: usize, cols: i32, m: f32, scale: f32, top_k: i32, top_p: f32, min_p: f32): f32 {
  let at = key_of(-f32.MAX_VALUE);
  if (top_k != 0) {
    const k = <i32>min<u32>(top_k, cols);
    let above = key_of(m) + 1;
    while (above - at > 1) {
      const mid = at + (above - at) / 2;
      if (count_from(x, cols, of_key(mid)) >= k) at = mid;
      else above = mid;
    }
  }
  if (top_p < 1) {
    const wanted = top_p * mass_from(x, e, cols, of_key(at));
    let above = key_of(m) + 1;
    while (above - at > 1) {
      const mid = at + (above - at) / 2;
      if (mass_from(x, e, cols, of_key(mid)) >= wanted) at = mid;
      else above = mid;
    }
  }
  if (min_p > 0) {
    let low = key_of(-f32.MAX_VALUE);
    let above = key_of(m);
    while (above - low > 1) {
      const mid = low + (above - low) / 2;
      if (exp1(max((of_key(mid) - m) * scale, FLOOR)) >= min_p) above = mid;
      else low = mid;
    }
    at = max(at, above);
  }
  return of_key(at);
}

// First column whose cumulative mass exceeds the goal; should rounding leave none, the last that has any.
function draw(x: usize, e: usize, cols: i32, threshold: f32, goal: f32): u32 {
  let from = 0;
  let before: f32 = 0;
  let sum: f32 = 0;
  for (let c = 0; c < cols && sum <= goal; c += RUN) {
    const mass = run_mass(x, e, c, min(c + RUN, cols), threshold);
    if (mass > 0) {
      from = c;
      before = sum;
      sum += mass;
    }
  }
  let token = NO_TOKEN;
  const to = min(from + RUN, cols);
  for (let c = from; c < to && before <= goal; c++) {
    const o = (<usize>c) << 2;
    const mass = load<f32>(e + o);
    if (load<f32>(x + o) >= threshold && mass > 0) {
      token = c;
      before += mass;
    }
  }
  return token;
}

export function sample(
  tokens: usize, logprobs: usize, entropy: usize, logits: usize, state: usize,
  rows: i32, vocab: i32, temperature: f32, top_k: i32, top_p: f32, min_p: f32, scratch: usize, lo: i32, hi: i32,
): void {
  const greedy = temperature == 0;
  const scale: f32 = greedy ? 1.0 : <f32>1.0 / temperature;
  for (let r = lo; r < hi; r++) {
    const at = (<usize>r) << 2;
    const row_state = state + ((<usize>r) << 4);
    if (load<u32>(row_state, 12) == 0) {
      store<u32>(tokens + at, NO_TOKEN);
      store<f32>(logprobs + at, 0);
      store<f32>(entropy + at, 0);
      continue;
    }
    const x = logits + ((<usize>r * vocab) << 2);
    const e = scratch + ((<usize>r * vocab) << 2);
    const m = row_max(x, vocab);
    row_sums(TLS, e, x, vocab, m, scale);
    const l = load<f32>(TLS);
    const log_l = log1(l);
    store<f32>(entropy + at, log_l - load<f32>(TLS, 4) / l);
    let token = NO_TOKEN;
    let logprob: f32 = -log_l;
    if (greedy) {
      for (let c = 0; c < vocab; c++) {
        if (load<f32>(x + ((<usize>c) << 2)) == m) {
          token = c;
          break;
        }
      }
    } else {
      const threshold = threshold_of(x, e, vocab, m, scale, top_k, top_p, min_p);
      const total = mass_from(x, e, vocab, threshold);
      const u = uniform01(threefry1(load<i32>(row_state), load<i32>(row_state, 4), load<i32>(row_state, 8), 0));
      token = draw(x, e, vocab, threshold, u * total);
      logprob = token == NO_TOKEN ? NaN : (load<f32>(x + ((<usize>token) << 2)) - m) * scale - log1(total);
    }
    store<u32>(tokens + at, token);
    store<f32>(logprobs + at, logprob);
  }
}

export function repetition_penalty(
  logits: usize, seen: usize, ids: usize, rows: i32, vocab: i32, penalty: f32, lo: i32, hi: i32,
): void {
  const words = (vocab + 31) >> 5;
  for (let r = lo; r < hi; r++) {
    const x = logits + ((<usize>r * vocab) << 2);
    const row = seen + ((<usize>r * words) << 2);
    const id = load<u32>(ids + ((<usize>r) << 2));
    if (id < <u32>vocab) {
      const word = row + ((<usize>id >> 5) << 2);
      store<u32>(word, load<u32>(word) | (<u32>1 << (id & 31)));
    }
    for (let w = 0; w < words; w++) {
      let bits = load<u32>(row + ((<usize>w) << 2));
      while (bits != 0) {
        const c = (w << 5) + <i32>ctz(bits);
        bits &= bits - 1;
        if (c >= vocab) break;
        const at = x + ((<usize>c) << 2);
        const v = load<f32>(at);
        store<f32>(at, v < 0 ? v * penalty : v / penalty);
      }
    }
  }
}
