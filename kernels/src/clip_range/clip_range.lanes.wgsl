alias elem = f32;
//!use common/row_lanes.wgsl
// clip_range.wgsl for hardware, in two passes: a workgroup of 64 threads for each rollout, eight tokens of a thread on their way at once, then
// one for range and clips.

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

/** Of token i before `end`: its entropy, the same if it is a feature token, and 1 if it is. */
fn token(i: u32, end: u32) -> vec4f {
  let at = min(i, end - 1u);
  let h = f32(entropy[at]);
  return select(vec4f(), vec4f(h, select(vec2f(), vec2f(h, 1.0), feature_mask[at] != 0u), 0.0), i < end);
}

fn tokens4(i: u32, end: u32) -> vec4f {
  return (token(i, end) + token(i + lanes, end)) + (token(i + 2u * lanes, end) + token(i + 3u * lanes, end));
}

@compute @workgroup_size(WG)
fn clip_range_entropy(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) t: u32) {
  let r = wid.x + wid.y * nwg.x;
  if (r >= p.num_rollouts) { return; }
  let start = row_start[r];
  let end = row_start[r + 1u];
  var sums = vec4f();
  for (var i = start + t; i < end; i += 8u * lanes) { sums += tokens4(i, end) + tokens4(i + 4u * lanes, end); }
  sums = row_sum4(sums, t);
  if (t == 0u) { feature_entropy[r] = select(sums.x / f32(max(end - start, 1u)), sums.y / max(sums.z, 1.0), sums.z > 0.0); }
}

fn mean_of(r: u32) -> f32 { return feature_entropy[min(r, p.num_rollouts - 1u)]; }

@compute @workgroup_size(WG)
fn clip_range_finish(@builtin(local_invocation_index) t: u32) {
  var lowest = -LOWEST;
  var highest = LOWEST;
  for (var r = t; r < p.num_rollouts; r += 4u * lanes) {
    let h = vec4f(mean_of(r), mean_of(r + lanes), mean_of(r + 2u * lanes), mean_of(r + 3u * lanes));
    lowest = min(lowest, min(min(h.x, h.y), min(h.z, h.w)));
    highest = max(highest, max(max(h.x, h.y), max(h.z, h.w)));
  }
  lowest = -row_max(-lowest, t);
  highest = row_max(highest, t);
  let width = highest - lowest;
  let slope = select((p.epsilon_high_max - p.epsilon_high_min) / width, 0.0, width < NARROWEST);
  for (var r = t; r < p.num_rollouts; r += lanes) { clip_high[r] = p.epsilon_high_min + slope * (feature_entropy[r] - lowest); }
  if (t == 0u) {
    range[0] = lowest;
    range[1] = highest;
  }
}
