alias elem = f32;
//!use common/block_reduce.wgsl
//!use common/k3.wgsl
// Clipped-ratio policy loss with a per-rollout upper clip and an optional k3 KL penalty; loss, gradient and statistics in one.
// Token i of rollout r = rollout[i], A = table[2r] (advantage), eps_high = table[2r+1]:
//   d = clamp(logprobs - old_logprobs, -20, 20);  ratio = exp(d)
//   surr = min(ratio A, clamp(ratio, 1 - clip_low, 1 + eps_high) A)
//   q = min(ref_logprobs - logprobs, 20);  kl = exp(q) - q - 1
//   loss = weights[i] (-surr + kl_beta kl);  dlogprobs[i] = d loss / d logprobs[i], 0 where the clip or a bound of d, q is active.
// A token of weight 0 contributes nothing and its gradient is exactly 0; none of its other inputs is looked at.
// partials (ceil(n/256), 8): sums over 256 tokens of [loss, kl, ratio < 1 - clip_low and A < 0, ratio > 1 + eps_high and A > 0,
// ratio, |logprobs - old_logprobs|, 1], unweighted but for the loss, over tokens of weight != 0; last: max |logprobs - old_logprobs|.
// Clip indicators as TRL's GRPOTrainer counts them; the bounds of 20 keep exp finite and are ours.
// One workgroup per 256 tokens, one token per thread.

const WG: u32 = 256u;
const BOUND: f32 = 20.0;

struct Params { n: u32, num_rollouts: u32, clip_low: f32, kl_beta: f32 }

@group(0) @binding(0) var<storage, read_write> dlogprobs: array<elem>;
@group(0) @binding(1) var<storage, read_write> partials: array<f32>;
@group(0) @binding(2) var<storage, read> logprobs: array<elem>;
@group(0) @binding(3) var<storage, read> old_logprobs: array<elem>;
@group(0) @binding(4) var<storage, read> ref_logprobs: array<elem>;
@group(0) @binding(5) var<storage, read> rollout: array<u32>;
@group(0) @binding(6) var<storage, read> table: array<f32>;
@group(0) @binding(7) var<storage, read> weights: array<elem>;
@group(0) @binding(8) var<uniform> p: Params;

@compute @workgroup_size(WG)
fn clipped_ratio(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) t: u32) {
  let block = wid.x + wid.y * nwg.x;
  let i = block * WG + t;
  var stats = array<f32, 8>();
  if (i < p.n) {
    var grad = 0.0;
    let w = f32(weights[i]);
    if (w != 0.0) {
      let logp = f32(logprobs[i]);
      let advantage = table[2u * rollout[i]];
      let upper = 1.0 + table[2u * rollout[i] + 1u];
      let lower = 1.0 - p.clip_low;
      let diff = logp - f32(old_logprobs[i]);
      let ratio = exp(clamp(diff, -BOUND, BOUND));
      let low = ratio < lower && advantage < 0.0;
      let high = ratio > upper && advantage > 0.0;
      let surr = min(ratio * advantage, clamp(ratio, lower, upper) * advantage);
      let q = f32(ref_logprobs[i]) - logp;
      let kl = k3(min(q, BOUND));
      grad = select(-ratio * advantage, 0.0, low || high || abs(diff) > BOUND);
      grad += select(p.kl_beta * -(kl + q), 0.0, q > BOUND);
      grad *= w;
      stats = array<f32, 8>(w * (p.kl_beta * kl - surr), kl, select(0.0, 1.0, low), select(0.0, 1.0, high), ratio, abs(diff), 1.0, abs(diff));
    }
    dlogprobs[i] = elem(grad);
  }
  // Six sums as three pairs, the seventh, and the maximum.
  for (var s = 0u; s < 6u; s += 2u) {
    let pair = block_sum2(vec2f(stats[s], stats[s + 1u]), t);
    stats[s] = pair.x;
    stats[s + 1u] = pair.y;
  }
  stats[6] = block_sum(stats[6], t);
  stats[7] = block_max(stats[7], t);
  if (t < 8u && block * WG < p.n) { partials[block * 8u + t] = stats[t]; }
}

// stats (8): partials (blocks, 8) summed over the blocks in order; the last one is their maximum. Thread t owns column t.

struct ReduceParams { blocks: u32 }

@group(0) @binding(0) var<storage, read_write> stats_out: array<f32>;
@group(0) @binding(1) var<storage, read> partials_in: array<f32>;
@group(0) @binding(2) var<uniform> pr: ReduceParams;

@compute @workgroup_size(8)
fn clipped_ratio_reduce(@builtin(local_invocation_index) t: u32) {
  var total = 0.0;
  for (var b = 0u; b < pr.blocks; b++) {
    let v = partials_in[b * 8u + t];
    total = select(total + v, max(total, v), t == 7u);
  }
  stats_out[t] = total;
}
