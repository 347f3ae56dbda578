alias elem = f32;
//!use common/ordered_key.wgsl
//!use common/row_lanes.wgsl
//!use common/strips.wgsl
//!use common/strip_entropy.wgsl
//!use common/threefry.wgsl
//!use common/wide.wgsl
// `sample` of sampling.wgsl for hardware: the same definitions, `lanes` threads (a whole workgroup) per row. A thread's hand is 16 logits in
// registers, with what each adds to a sum: 1 where logits are counted, its mass where masses are added, 0 past the end.
// A row that one deal covers is in the hands for a whole bisection. Of a longer one the bisection deals all of it again until few logits are
// left between its bounds; each thread then gathers its own, up to SLOTS, as its hand, and what lies above them is added once: no atomics, the same
// bits every time. The draw goes by sums of deals, then of runs of up to 16 neighbouring columns, a run to a thread, then of columns.

const NO_TOKEN: u32 = 0xffffffffu;
const SLOTS: u32 = 8u;
/** Columns of a deal, and deals that the draw has room for. */
override DEAL: u32 = 16u * lanes;
const DEALS: u32 = 128u;

struct Params { rows: u32, vocab: u32, temperature: f32, top_k: u32, top_p: f32, min_p: f32 }

@group(0) @binding(0) var<storage, read_write> tokens: array<u32>;
@group(0) @binding(1) var<storage, read_write> logprobs: array<elem>;
@group(0) @binding(2) var<storage, read_write> entropy: array<elem>;
@group(0) @binding(3) var<storage, read> logits: array<elem>;
@group(0) @binding(4) var<storage, read> state: array<u32>;
@group(0) @binding(5) var<uniform> p: Params;

var<workgroup> slots: array<f32, SLOTS * WG>;
var<workgroup> deal_mass: array<f32, DEALS>;
var<workgroup> run_mass: array<f32, WG>;
var<workgroup> runs_mass: array<f32, RUN_GROUPS>;
var<workgroup> agreed: u32;

/** Neighbouring runs that are summed together. */
const RUN_GROUP: u32 = 8u;
override RUN_GROUPS: u32 = WG / RUN_GROUP;

fn column(at: u32) -> f32 { return f32(logits[at]); }

fn mass_of(x: f32, m: f32, scale: f32) -> f32 { return exp(max((x - m) * scale, FLOOR)); }

/** What a logit adds to a sum: 1, or its mass exp((x - m) scale). */
struct Adds { mass: bool, m: f32, scale: f32 }

fn added(x: mat4x4f, adds: Adds) -> mat4x4f {
  if (adds.mass) { return exp16(floored(less16(x, adds.m) * adds.scale)); }
  let one = vec4f(1.0);
  return mat4x4f(one, one, one, one);
}

struct Hand { x: mat4x4f, adds: mat4x4f }

/** The 16 logits of the deal that column c begins for its thread. */
fn dealt(base: u32, c: u32, adds: Adds) -> Hand {
  let x = strip(base, p.vocab, c);
  return Hand(x, within(added(x, adds), c, p.vocab));
}

/** At or above the threshold. Never less for a lower one, rounding included: the same sums of more numbers, none negative. */
fn sum_from(h: Hand, threshold: f32) -> f32 {
  let none = vec4f();
  let least = vec4f(threshold);
  let a = select(none, h.adds[0], h.x[0] >= least) + select(none, h.adds[1], h.x[1] >= least);
  return sum4(a + (select(none, h.adds[2], h.x[2] >= least) + select(none, h.adds[3], h.x[3] >= least)));
}

fn sums_from(h: Hand, thresholds: vec3f) -> vec3f {
  return vec3f(sum_from(h, thresholds.x), sum_from(h, thresholds.y), sum_from(h, thresholds.z));
}

/** Which logits from low to below high add anything. */
fn between(x: vec4f, adds: vec4f, low: f32, high: f32) -> vec4<bool> { return (adds > vec4f()) & (x >= vec4f(low)) & (x < vec4f(high)); }

fn number_between(h: Hand, low: f32, high: f32) -> f32 {
  let none = vec4f();
  let one = vec4f(1.0);
  let a = select(none, one, between(h.x[0], h.adds[0], low, high)) + select(none, one, between(h.x[1], h.adds[1], low, high));
  let b = select(none, one, between(h.x[2], h.adds[2], low, high)) + select(none, one, between(h.x[3], h.adds[3], low, high));
  return sum4(a + b);
}

/** Puts those into the thread's slots after the `count` that it has, as far as these reach; returns how many there are now. */
fn gather(h: Hand, low: f32, high: f32, count: u32, t: u32) -> u32 {
  var n = count;
  for (var i = 0u; i < 4u; i++) {
    let v = h.x[i];
    let taken = between(v, h.adds[i], low, high);
    for (var j = 0u; j < 4u; j++) {
      if (!taken[j]) { continue; }
      if (n < SLOTS) { slots[n * WG + t] = v[j]; }
      n++;
    }
  }
  return n;
}

fn slots4(first: u32, t: u32) -> vec4f {
  return vec4f(slots[first * WG + t], slots[(first + 1u) * WG + t], slots[(first + 2u) * WG + t], slots[(first + 3u) * WG + t]);
}

fn hand_of_slots(count: u32, adds: Adds, t: u32) -> Hand {
  let x = mat4x4f(slots4(0u, t), slots4(4u, t), vec4f(), vec4f());
  let all = added(x, adds);
  let index = vec4u(0u, 1u, 2u, 3u);
  let first = select(vec4f(), all[0], index < vec4u(count));
  let second = select(vec4f(), all[1], index + 4u < vec4u(count));
  return Hand(x, mat4x4f(first, second, vec4f(), vec4f()));
}

/** What a pass over the row does: reads the whole sum, narrows the bounds, gathers what is left between them. */
const WHOLE: u32 = 0u;
const NARROW: u32 = 1u;
const GATHER: u32 = 2u;

/** Passes of a search at the most: the whole, two of 32 bits each, a gathering after each of these. */
const PASSES: u32 = 34u;

/**
 * The largest key from lo on from which the numbers of logits (top-k), then from there on their masses (top-p), reach what is asked for. One
 * loop does both, as every copy of a deal is a long text to compile.
 */
fn search(base: u32, m: f32, scale: f32, t: u32) -> u32 {
  let long = p.vocab > DEAL;
  var lo = key_of(LOWEST);
  for (var by_mass = 0u; by_mass < 2u; by_mass++) {
    if (select(p.top_k == 0u, p.top_p >= 1.0, by_mass == 1u)) { continue; }
    let adds = Adds(by_mass == 1u, m, scale);
    var hi = key_of(m) + 1u;
    var wanted = f32(min(p.top_k, p.vocab));
    var h = Hand(mat4x4f(), mat4x4f());
    var in_hand = false;
    var above = 0.0;
    var task = select(NARROW, WHOLE, by_mass == 1u);
    var steps = 0u;
    for (var turn = 0u; turn < PASSES && steps < 16u; turn++) {
      let asked = select(quarters(lo, hi), vec3u(lo, hi, hi), task != NARROW);
      let thresholds = keys_of(asked);
      var sums = vec4f();
      var count = 0u;
      for (var c = t; c - t < select(p.vocab, 1u, in_hand); c += DEAL) {
        if (!in_hand) { h = dealt(base, c, adds); }
        sums += vec4f(sums_from(h, thresholds), 0.0);
        if (long && !in_hand) { sums.w += number_between(h, of_key(lo), of_key(hi)); }
        if (task == GATHER) { count = gather(h, of_key(lo), of_key(hi), count, t); }
      }
      sums = row_sum4(sums, t);
      let got = vec3f(above) + sums.xyz;
      if (task == WHOLE) { wanted = max(p.top_p, 1e-30) * got.x; }
      if (task == NARROW) {
        let left = narrowed(lo, hi, asked, got >= vec3f(wanted));
        lo = left.x;
        hi = left.y;
        steps++;
      }
      if (!long) { in_hand = true; }
      if (in_hand) {
        task = NARROW;
        continue;
      }
      let most = row_max(f32(count), t);
      let fits = task == GATHER && most <= f32(SLOTS);
      if (fits) {
        h = hand_of_slots(count, adds, t);
        above = sums.y;
      }
      if (t == 0u) { agreed = select(select(0u, 1u, sums.w <= f32(SLOTS * WG)), 2u, fits); }
      let said = workgroupUniformLoad(&agreed);
      if (said == 2u) { in_hand = true; }
      task = select(NARROW, GATHER, said == 1u && task != GATHER);
    }
  }
  return lo;
}

/** Lowest index of the maximum m, negated; LOWEST where there is none. */
fn first_of(base: u32, m: f32, t: u32) -> f32 {
  var first = vec4f(LOWEST);
  for (var c = t; c - t < p.vocab; c += DEAL) {
    let v = strip(base, p.vocab, c);
    let at = vec4f(vec4u(c) + vec4u(0u, lanes, 2u * lanes, 3u * lanes));
    let four = f32(4u * lanes);
    first = max(first, select(vec4f(LOWEST), -at, v[0] == vec4f(m)));
    first = max(first, select(vec4f(LOWEST), -at - four, v[1] == vec4f(m)));
    first = max(first, select(vec4f(LOWEST), -at - 2.0 * four, v[2] == vec4f(m)));
    first = max(first, select(vec4f(LOWEST), -at - 3.0 * four, v[3] == vec4f(m)));
  }
  return row_max(max(max(first.x, first.y), max(first.z, first.w)), t);
}

/** One column of a run, after those before it: the token that a draw of `goal` takes so far, and its logit. */
struct Drawn { before: f32, token: u32, logit: f32 }

fn next_column(d: Drawn, c: u32, x: f32, mass: f32, goal: f32) -> Drawn {
  if (!(mass > 0.0) || d.before > goal) { return d; }
  return Drawn(d.before + mass, c, x);
}

/** Sixteen neighbours from c on; at and past `end` the one before it. */
fn neighbours(base: u32, c: u32, end: u32) -> mat4x4f {
  let most = end - 1u;
  return mat4x4f(
    column(base + min(c, most)), column(base + min(c + 1u, most)), column(base + min(c + 2u, most)), column(base + min(c + 3u, most)),
    column(base + min(c + 4u, most)), column(base + min(c + 5u, most)), column(base + min(c + 6u, most)), column(base + min(c + 7u, most)),
    column(base + min(c + 8u, most)), column(base + min(c + 9u, most)), column(base + min(c + 10u, most)), column(base + min(c + 11u, most)),
    column(base + min(c + 12u, most)), column(base + min(c + 13u, most)), column(base + min(c + 14u, most)), column(base + min(c + 15u, most)),
  );
}

/** Masses of what is at or above the threshold and before `end`. */
fn kept_mass(x: mat4x4f, c: u32, end: u32, threshold: f32, adds: Adds) -> mat4x4f {
  let all = added(x, adds);
  let index = vec4u(c) + vec4u(0u, 1u, 2u, 3u);
  let least = vec4f(threshold);
  let none = vec4f();
  return mat4x4f(
    select(none, all[0], (x[0] >= least) & (index < vec4u(end))), select(none, all[1], (x[1] >= least) & (index + 4u < vec4u(end))),
    select(none, all[2], (x[2] >= least) & (index + 8u < vec4u(end))), select(none, all[3], (x[3] >= least) & (index + 12u < vec4u(end))),
  );
}

@compute @workgroup_size(WG)
fn sample(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) t: u32) {
  let row = wid.x + wid.y * nwg.x;
  if (row >= p.rows) { return; }
  if (state[row * 4u + 3u] == 0u) {
    if (t == 0u) {
      tokens[row] = NO_TOKEN;
      logprobs[row] = elem(0.0);
      entropy[row] = elem(0.0);
    }
    return;
  }
  let base = row * p.vocab;
  let greedy = p.temperature == 0.0;
  let scale = 1.0 / select(p.temperature, 1.0, greedy);
  var x = strip_entropy_empty();
  for (var c = t; c - t < p.vocab; c += DEAL) { x = strip_entropy_push(x, strip(base, p.vocab, c), c, p.vocab, scale); }
  let sums = strip_entropy_of_row(x, scale, t);
  let m = sums.x;
  let log_l = log(sums.y);
  if (t == 0u) { entropy[row] = elem(log_l - sums.z / sums.y); }

  if (greedy) {
    let first = first_of(base, m, t);
    if (t == 0u) {
      tokens[row] = select(NO_TOKEN, u32(-first), first > LOWEST);
      logprobs[row] = elem(-log_l);
    }
    return;
  }

  var lo = key_of(LOWEST);
  if (p.top_k > 0u || p.top_p < 1.0) { lo = search(base, m, scale, t); }
  if (p.min_p > 0.0) { lo = key_of_min_p(lo, m, scale, p.min_p); }
  let threshold = of_key(lo);

  // The deal: the last that has any mass and begins at or below the goal.
  let adds = Adds(true, m, scale);
  var deals = 0u;
  for (var c = 0u; c < p.vocab; c += DEAL) {
    let mass = row_sum(sum_from(dealt(base, c + t, adds), threshold), t);
    if (t == 0u) { deal_mass[deals] = mass; }
    deals++;
  }
  workgroupBarrier();
  var total = 0.0;
  for (var j = 0u; j < deals; j++) { total += deal_mass[j]; }
  let u = uniform01(threefry2x32(vec2u(state[row * 4u], state[row * 4u + 1u]), vec2u(state[row * 4u + 2u], 0u)).x);
  let goal = u * total;
  var deal = 0u;
  var before_deal = 0.0;
  var sum = 0.0;
  for (var j = 0u; j < deals; j++) {
    if (deal_mass[j] > 0.0 && sum <= goal) {
      deal = j;
      before_deal = sum;
    }
    sum += deal_mass[j];
  }

  // The run, likewise, a thread each; then its columns, by that thread.
  let first = deal * DEAL;
  let length = min(DEAL, p.vocab - first);
  let run = (length + WG - 1u) / WG;
  let c = first + t * run;
  let end = min(c + run, first + length);
  let logits_of_run = neighbours(base, c, max(end, 1u));
  let mass = kept_mass(logits_of_run, c, end, threshold, adds);
  let mine = sum4(sum16(mass));
  run_mass[t] = mine;
  workgroupBarrier();
  let group = t / RUN_GROUP;
  var in_group = 0.0;
  var before_in_group = 0.0;
  for (var i = 0u; i < RUN_GROUP; i++) {
    if (group * RUN_GROUP + i == t) { before_in_group = in_group; }
    in_group += run_mass[group * RUN_GROUP + i];
  }
  if (t % RUN_GROUP == 0u) { runs_mass[group] = in_group; }
  workgroupBarrier();
  var before = before_deal;
  for (var i = 0u; i < group; i++) { before += runs_mass[i]; }
  before += before_in_group;
  let chosen = row_max(select(-1.0, f32(t), mine > 0.0 && before <= goal), t);
  if (f32(t) != max(chosen, 0.0)) { return; }
  var drawn = Drawn(before, NO_TOKEN, 0.0);
  for (var i = 0u; i < 16u; i++) { drawn = next_column(drawn, c + i, logits_of_run[i / 4u][i % 4u], mass[i / 4u][i % 4u], goal); }
  tokens[row] = drawn.token;
  logprobs[row] = elem((drawn.logit - m) * scale - log(total));
}
