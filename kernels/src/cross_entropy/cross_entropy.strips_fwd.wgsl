alias elem = f32;
//!use common/row_lanes.wgsl
//!use common/strips.wgsl
//!use common/wide.wgsl
// cross_entropy_fwd of cross_entropy.wgsl for hardware and vocabularies of any size: `lanes` threads per row, 32 columns each at a time.

struct Params { rows: u32, vocab: u32 }

@group(0) @binding(0) var<storage, read_write> losses: array<elem>;
@group(0) @binding(1) var<storage, read> logits: array<elem>;
@group(0) @binding(2) var<storage, read> targets: array<u32>;
@group(0) @binding(3) var<storage, read> weights: array<elem>;
@group(0) @binding(4) var<uniform> p: Params;

fn column(at: u32) -> f32 { return f32(logits[at]); }

@compute @workgroup_size(WG)
fn cross_entropy_fwd(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) t: u32) {
  let row = row_of(wid, nwg, t);
  let lane = t % lanes;
  let there = min(row, p.rows - 1u);
  let base = there * p.vocab;
  let w = f32(weights[there]);
  let own = f32(logits[base + min(targets[there], p.vocab - 1u)]);
  let cols = select(0u, p.vocab, w != 0.0);
  var s = wide_empty();
  for (var c = 0u; c < cols; c += TURN) {
    s = push(s, strip(base, p.vocab, c + lane), strip(base, p.vocab, c + lane + 16u * lanes), c + lane, p.vocab);
  }
  let sums = row_sums(s, t);
  if (row >= p.rows || lane != 0u) { return; }
  losses[row] = elem(select(-w * (own - sums.x - log(sums.y)), 0.0, w == 0.0));
}
