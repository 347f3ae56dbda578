alias elem = f32;
//!use common/block_reduce.wgsl
//!use common/row_softmax.wgsl
// Weighted cross-entropy of logits (rows, vocab) with targets (rows) below vocab and weights (rows); p = softmax(logits):
//   losses[i] = -weights[i] ln p[i,targets[i]];  dlogits[i,c] = weights[i] (p[i,c] - 1[c = targets[i]]), in place of the logits.
// A row of weight 0 gives exactly 0 and neither its logits nor its target is looked at.
// row_lanes threads per row; lane i owns columns i, i + lanes, ... Sums in f32.

const WG: u32 = 64u;

struct Params { rows: u32, vocab: u32 }

@group(0) @binding(0) var<storage, read_write> losses: array<elem>;
@group(0) @binding(1) var<storage, read_write> logits: array<elem>;
@group(0) @binding(2) var<storage, read> targets: array<u32>;
@group(0) @binding(3) var<storage, read> weights: array<elem>;
@group(0) @binding(4) var<uniform> p: Params;

@compute @workgroup_size(WG)
fn cross_entropy(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) t: u32) {
  let lanes = row_lanes(p.vocab);
  let row = (wid.x + wid.y * nwg.x) * (WG / lanes) + t / lanes;
  let lane = t % lanes;
  // Rows beyond the last keep up with the barriers, and touch nothing.
  let cols = select(0u, p.vocab, row < p.rows);
  let base = row * p.vocab;
  var w = 0.0;
  if (cols > 0u) { w = f32(weights[row]); }
  var a = row_empty();
  if (w != 0.0) {
    for (var c = lane; c < cols; c += lanes) { a = row_push(a, f32(logits[base + c]), 1.0); }
  }
  a = lane_row(a, t, lanes);
  if (w == 0.0) {
    for (var c = lane; c < cols; c += lanes) { logits[base + c] = elem(0.0); }
    if (lane == 0u && cols > 0u) { losses[row] = elem(0.0); }
    return;
  }
  let target_c = targets[row];
  let inv = 1.0 / a.l;
  for (var c = lane; c < cols; c += lanes) {
    let d = f32(logits[base + c]) - a.m;
    var g = exp(d) * inv;
    if (c == target_c) {
      losses[row] = elem(-w * (d - log(a.l)));
      g -= 1.0;
    }
    logits[base + c] = elem(w * g);
  }
}

@group(0) @binding(1) var<storage, read> logits_only: array<elem>;

@compute @workgroup_size(WG)
fn cross_entropy_fwd(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) t: u32) {
  let lanes = row_lanes(p.vocab);
  let row = (wid.x + wid.y * nwg.x) * (WG / lanes) + t / lanes;
  let lane = t % lanes;
  // Rows beyond the last keep up with the barriers, and touch nothing.
  let cols = select(0u, p.vocab, row < p.rows);
  let base = row * p.vocab;
  var w = 0.0;
  if (cols > 0u) { w = f32(weights[row]); }
  var a = row_empty();
  if (w != 0.0) {
    for (var c = lane; c < cols; c += lanes) { a = row_push(a, f32(logits_only[base + c]), 1.0); }
  }
  a = lane_row(a, t, lanes);
  if (lane != 0u || cols == 0u) { return; }
  if (w == 0.0) { losses[row] = elem(0.0); }
  else { losses[row] = elem(-w * (f32(logits_only[base + targets[row]]) - a.m - log(a.l))); }
}
