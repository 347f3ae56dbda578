alias elem = f32;
//!use common/k3.wgsl
// clipped_ratio.wgsl for hardware. A token's loads do not wait for its weight, and all eight statistics of 256 tokens are reduced at once: 32 threads
// to each, 8 values to a thread, then 8 to one of 4, then the 4. The reduction of partials is spread over 32 threads to a statistic likewise.

const WG: u32 = 256u;
const BOUND: f32 = 20.0;

struct Params { n: u32, num_rollouts: u32, clip_low: f32, kl_beta: f32 }

@group(0) @binding(0) var<storage, read_write> dlogprobs: array<elem>;
@group(0) @binding(1) var<storage, read_write> partials: array<f32>;
@group(0) @binding(2) var<storage, read> logprobs: array<elem>;
@group(0) @binding(3) var<storage, read> old_logprobs: array<elem>;
@group(0) @binding(4) var<storage, read> ref_logprobs: array<elem>;
@group(0) @binding(5) var<storage, read> rollout: array<u32>;
@group(0) @binding(6) var<storage, read> table: array<vec2f>;
@group(0) @binding(7) var<storage, read> weights: array<elem>;
@group(0) @binding(8) var<uniform> p: Params;

/** [statistic][token]. */
var<workgroup> values: array<f32, 2048>;
var<workgroup> firsts: array<f32, 256>;
var<workgroup> seconds: array<f32, 32>;

/** The last statistic is a maximum, the others are sums. */
fn joined(a: f32, b: f32, s: u32) -> f32 { return select(a + b, max(a, b), s == 7u); }

fn joined4(a: f32, b: f32, c: f32, d: f32, s: u32) -> f32 { return joined(joined(a, b, s), joined(c, d, s), s); }

/** Statistic t of `firsts`, [statistic][32], for threads t below 8. */
fn of_firsts(t: u32) -> f32 {
  workgroupBarrier();
  if (t < 32u) {
    let s = t / 4u;
    let at = s * 32u + t % 4u;
    let low = joined4(firsts[at], firsts[at + 4u], firsts[at + 8u], firsts[at + 12u], s);
    seconds[t] = joined(low, joined4(firsts[at + 16u], firsts[at + 20u], firsts[at + 24u], firsts[at + 28u], s), s);
  }
  workgroupBarrier();
  let at = min(t, 7u) * 4u;
  return joined4(seconds[at], seconds[at + 1u], seconds[at + 2u], seconds[at + 3u], t);
}

@compute @workgroup_size(WG)
fn clipped_ratio(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) t: u32) {
  let block = wid.x + wid.y * nwg.x;
  let i = block * WG + t;
  let at = min(i, p.n - 1u);
  let w = select(0.0, f32(weights[at]), i < p.n);
  let logp = f32(logprobs[at]);
  let diff = logp - f32(old_logprobs[at]);
  let q = f32(ref_logprobs[at]) - logp;
  let of_rollout = table[min(rollout[at], p.num_rollouts - 1u)];
  let advantage = of_rollout.x;
  let upper = 1.0 + of_rollout.y;
  let lower = 1.0 - p.clip_low;
  let ratio = exp(clamp(diff, -BOUND, BOUND));
  let low = ratio < lower && advantage < 0.0;
  let high = ratio > upper && advantage > 0.0;
  let surr = min(ratio * advantage, clamp(ratio, lower, upper) * advantage);
  let kl = k3(min(q, BOUND));
  var grad = select(-ratio * advantage, 0.0, low || high || abs(diff) > BOUND);
  grad += select(p.kl_beta * -(kl + q), 0.0, q > BOUND);
  // A token of weight 0 may hold anything.
  let counts = w != 0.0;
  if (i < p.n) { dlogprobs[i] = elem(select(0.0, grad * w, counts)); }
  values[t] = select(0.0, w * (p.kl_beta * kl - surr), counts);
  values[t + 256u] = select(0.0, kl, counts);
  values[t + 512u] = select(0.0, 1.0, counts && low);
  values[t + 768u] = select(0.0, 1.0, counts && high);
  values[t + 1024u] = select(0.0, ratio, counts);
  values[t + 1280u] = select(0.0, abs(diff), counts);
  values[t + 1536u] = select(0.0, 1.0, counts);
  values[t + 1792u] = select(0.0, abs(diff), counts);
  workgroupBarrier();
  let s = t / 32u;
  let from_value = s * 256u + t % 32u;
  let first = joined4(values[from_value], values[from_value + 32u], values[from_value + 64u], values[from_value + 96u], s);
  let second = joined4(values[from_value + 128u], values[from_value + 160u], values[from_value + 192u], values[from_value + 224u], s);
  firsts[t] = joined(first, second, s);
  let total = of_firsts(t);
  if (t < 8u && block * WG < p.n) { partials[block * 8u + t] = total; }
}

struct ReduceParams { blocks: u32 }

@group(0) @binding(0) var<storage, read_write> stats_out: array<f32>;
@group(0) @binding(1) var<storage, read> partials_in: array<f32>;
@group(0) @binding(2) var<uniform> pr: ReduceParams;

/** Zero past the last block: no sum and, of magnitudes, no maximum changes. */
fn partial(block: u32, s: u32) -> f32 { return select(0.0, partials_in[min(block, pr.blocks - 1u) * 8u + s], block < pr.blocks); }

@compute @workgroup_size(WG)
fn clipped_ratio_reduce(@builtin(local_invocation_index) t: u32) {
  // Eight statistics lie side by side, so neighbours read neighbours.
  let s = t % 8u;
  var total = 0.0;
  for (var b = t / 8u; b < pr.blocks; b += 128u) {
    total = joined(total, joined4(partial(b, s), partial(b + 32u, s), partial(b + 64u, s), partial(b + 96u, s), s), s);
  }
  firsts[s * 32u + t / 8u] = total;
  let all = of_firsts(t);
  if (t < 8u) { stats_out[t] = all; }
}
