alias elem = f32;
//!use common/block_reduce.wgsl
//!use common/ordered_key.wgsl
//!use common/row_softmax.wgsl
//!use common/threefry.wgsl
// Draws one token per row of logits (rows, vocab). q = softmax(logits / temperature), kept to
//   top-k: the logits at or above the k-th largest (ties with it are all kept; top_k 0 keeps everything), then
//   top-p: the smallest set {logit >= t} that has at least top_p of what top-k left (top_p 1 keeps everything), then
//   min-p: tokens of at least min_p times the largest probability (min_p 0 keeps everything; Nguyen et al. 2024, arXiv 2407.01082),
// and renormalised: the token is the first, in index order, whose cumulative share exceeds u = uniform01(threefry(state)).
// logprobs: ln of the token's share of what was kept. entropy: of q before the filters, in nats.
// temperature 0: the largest logit, the lowest index among ties; its log-probability and the entropy are those of temperature 1.
// state (rows, 4): [seed, stream, counter, active]; the generator's key is (seed, stream), its counter (counter, 0).
// A row of active 0 gives token 0xffffffff, logprob 0, entropy 0.
// Thresholds are exact without sorting: bisection over the ordered bit patterns of f32, two of its 32 steps a pass over the row. Ties of equal
// bits fall together.
// repetition_penalty, in place and before sample: logit / penalty where it is at least 0, logit * penalty below, for every token that the
// row has `seen`, once however often it occurred (Keskar et al. 2019, arXiv 1909.05858). seen (rows, ceil(vocab / 32)): token c is bit
// c % 32 of word c / 32; the row's `fed` token joins it first, ids beyond the vocabulary do not.
// One workgroup per row; thread t owns columns t, t + WG, ...; for the draw it owns one run of columns, so that order is by index.

override WG: u32 = 256u;
const NO_TOKEN: u32 = 0xffffffffu;
const LOWEST: f32 = -3.4028234e38;

struct Params { rows: u32, vocab: u32, temperature: f32, top_k: u32, top_p: f32, min_p: f32 }
struct PenaltyParams { rows: u32, vocab: u32, penalty: f32 }

@group(0) @binding(0) var<storage, read_write> tokens: array<u32>;
@group(0) @binding(1) var<storage, read_write> logprobs: array<elem>;
@group(0) @binding(2) var<storage, read_write> entropy: array<elem>;
@group(0) @binding(3) var<storage, read> logits: array<elem>;
@group(0) @binding(4) var<storage, read> state: array<u32>;
@group(0) @binding(5) var<uniform> p: Params;

@group(0) @binding(0) var<storage, read_write> penalised: array<elem>;
@group(0) @binding(1) var<storage, read_write> seen: array<u32>;
@group(0) @binding(2) var<storage, read> fed: array<u32>;
@group(0) @binding(3) var<uniform> rp: PenaltyParams;

var<workgroup> run_mass: array<f32, WG>;

// exp of a logit's distance to the row's maximum m.
fn mass_of(x: f32, m: f32, scale: f32) -> f32 { return exp(max((x - m) * scale, ROW_FLOOR)); }

// How many logits of the row are at or above each threshold; exact in f32 up to 2^24.
fn counts_from(base: u32, thresholds: vec3f, t: u32) -> vec3f {
  var n = vec3f();
  for (var c = t; c < p.vocab; c += WG) { n += select(vec3f(), vec3f(1.0), vec3f(f32(logits[base + c])) >= thresholds); }
  return block_sum3(n, t);
}

// Their mass. Never less for a lower threshold, rounding included: the same sums of more numbers, none negative.
fn masses_from(base: u32, thresholds: vec3f, m: f32, scale: f32, t: u32) -> vec3f {
  var s = vec3f();
  for (var c = t; c < p.vocab; c += WG) {
    let x = f32(logits[base + c]);
    s += select(vec3f(), vec3f(mass_of(x, m, scale)), vec3f(x) >= thresholds);
  }
  return block_sum3(s, t);
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
  var a = row_empty();
  for (var c = t; c < p.vocab; c += WG) { a = row_push(a, f32(logits[base + c]), scale); }
  a = block_row(a, scale, t);
  let log_l = log(a.l);
  if (t == 0u) { entropy[row] = elem(log_l - a.s / a.l); }

  if (greedy) {
    // Lowest index of the maximum, as the largest of the negated indices.
    var first = LOWEST;
    for (var c = t; c < p.vocab; c += WG) {
      if (f32(logits[base + c]) == a.m) { first = max(first, -f32(c)); }
    }
    first = block_max(first, t);
    if (t == 0u) {
      tokens[row] = select(NO_TOKEN, u32(-first), first > LOWEST);
      logprobs[row] = elem(-log_l);
    }
    return;
  }

  // Invariant of both searches: the set from `lo` on is large enough, that from `hi` on is not (above the maximum: empty).
  var lo = key_of(LOWEST);
  if (p.top_k > 0u) {
    let k = f32(min(p.top_k, p.vocab));
    var hi = key_of(a.m) + 1u;
    for (var step = 0u; step < 16u; step++) {
      let asked = quarters(lo, hi);
      let left = narrowed(lo, hi, asked, counts_from(base, keys_of(asked), t) >= vec3f(k));
      lo = left.x;
      hi = left.y;
    }
  }
  if (p.top_p < 1.0) {
    let wanted = p.top_p * masses_from(base, vec3f(of_key(lo)), a.m, scale, t).x;
    var hi = key_of(a.m) + 1u;
    for (var step = 0u; step < 16u; step++) {
      let asked = quarters(lo, hi);
      let left = narrowed(lo, hi, asked, masses_from(base, keys_of(asked), a.m, scale, t) >= vec3f(wanted));
      lo = left.x;
      hi = left.y;
    }
  }
  if (p.min_p > 0.0) { lo = key_of_min_p(lo, a.m, scale, p.min_p); }
  let threshold = of_key(lo);

  let run = (p.vocab + WG - 1u) / WG;
  var s = 0.0;
  for (var c = t * run; c < min((t + 1u) * run, p.vocab); c++) {
    let x = f32(logits[base + c]);
    s += select(0.0, mass_of(x, a.m, scale), x >= threshold);
  }
  run_mass[t] = s;
  workgroupBarrier();
  if (t != 0u) { return; }
  var total = 0.0;
  for (var j = 0u; j < WG; j++) { total += run_mass[j]; }
  let u = uniform01(threefry2x32(vec2u(state[row * 4u], state[row * 4u + 1u]), vec2u(state[row * 4u + 2u], 0u)).x);
  let goal = u * total;
  // The run, then the token, at which the cumulative mass exceeds the goal; should rounding leave none, the last that has any.
  var chosen_run = 0u;
  var before = 0.0;
  var sum = 0.0;
  for (var j = 0u; j < WG && sum <= goal; j++) {
    if (run_mass[j] > 0.0) {
      chosen_run = j;
      before = sum;
      sum += run_mass[j];
    }
  }
  var token = NO_TOKEN;
  var token_logit = 0.0;
  for (var c = chosen_run * run; c < min((chosen_run + 1u) * run, p.vocab) && before <= goal; c++) {
    let x = f32(logits[base + c]);
    let mass = mass_of(x, a.m, scale);
    if (x >= threshold && mass > 0.0) {
      token = c;
      token_logit = x;
      before += mass;
    }
  }
  tokens[row] = token;
  logprobs[row] = elem((token_logit - a.m) * scale - log(total));
}

@compute @workgroup_size(WG)
fn repetition_penalty(
  @builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) t: u32,
) {
  let row = wid.x + wid.y * nwg.x;
  if (row >= rp.rows) { return; }
  let words = (rp.vocab + 31u) / 32u;
  let id = fed[row];
  if (t == 0u && id < rp.vocab) { seen[row * words + id / 32u] |= 1u << (id % 32u); }
  storageBarrier();
  for (var c = t; c < rp.vocab; c += WG) {
    if (((seen[row * words + c / 32u] >> (c % 32u)) & 1u) == 0u) { continue; }
    let x = f32(penalised[row * rp.vocab + c]);
    penalised[row * rp.vocab + c] = elem(select(x / rp.penalty, x * rp.penalty, x < 0.0));
  }
}
