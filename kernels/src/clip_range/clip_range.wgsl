alias elem = f32;
//!use common/block_reduce.wgsl
// Entropy-aware upper clip of EAG-RL (arXiv 2508.13579, stage 2). Rollout r owns tokens row_start[r] .. row_start[r+1] of n:
//   H[r] = mean of entropy over its tokens of feature_mask 1; over all its tokens when it has none; 0 when it has no token
//   range = [min_r H, max_r H];  clip_high[r] = e_min + (e_max - e_min) (H[r] - range[0]) / (range[1] - range[0])
// and e_min for every rollout when range[1] - range[0] < 1e-6.
// One workgroup; thread t owns rollouts t, t + WG, ... It runs once per batch of rollouts, so a serial sum per rollout will do.

const WG: u32 = 64u;
const LOWEST: f32 = -3.4028234e38;
const NARROWEST: f32 = 1e-6;

struct Params { num_rollouts: u32, n: u32, epsilon_high_min: f32, epsilon_high_max: f32 }

@group(0) @binding(0) var<storage, read_write> clip_high: array<f32>;
@group(0) @binding(1) var<storage, read_write> feature_entropy: array<f32>;
@group(0) @binding(2) var<storage, read_write> range: array<f32>;
@group(0) @binding(3) var<storage, read> entropy: array<elem>;
@group(0) @binding(4) var<storage, read> feature_mask: array<u32>;
@group(0) @binding(5) var<storage, read> row_start: array<u32>;
@group(0) @binding(6) var<uniform> p: Params;

@compute @workgroup_size(WG)
fn clip_range(@builtin(local_invocation_index) t: u32) {
  var lowest = -LOWEST;
  var highest = LOWEST;
  for (var r = t; r < p.num_rollouts; r += WG) {
    var all = 0.0;
    var features = 0.0;
    var num_features = 0u;
    for (var i = row_start[r]; i < row_start[r + 1u]; i++) {
      let h = f32(entropy[i]);
      all += h;
      if (feature_mask[i] != 0u) {
        features += h;
        num_features++;
      }
    }
    let len = row_start[r + 1u] - row_start[r];
    let mean = select(all / f32(max(len, 1u)), features / f32(max(num_features, 1u)), num_features > 0u);
    feature_entropy[r] = mean;
    lowest = min(lowest, mean);
    highest = max(highest, mean);
  }
  lowest = -block_max(-lowest, t);
  highest = block_max(highest, t);
  let width = highest - lowest;
  let slope = select((p.epsilon_high_max - p.epsilon_high_min) / width, 0.0, width < NARROWEST);
  for (var r = t; r < p.num_rollouts; r += WG) {
    clip_high[r] = p.epsilon_high_min + slope * (feature_entropy[r] - lowest);
  }
  if (t == 0u) {
    range[0] = lowest;
    range[1] = highest;
  }
}
