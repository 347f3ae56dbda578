alias elem = f32;
//!use common/wide.wgsl
// cross_entropy.wgsl with a thread per row, 16 columns at a time; vocab is a multiple of 16.

const WG: u32 = 64u;

struct Params { rows: u32, vocab: u32 }

@group(0) @binding(0) var<storage, read_write> losses: array<elem>;
@group(0) @binding(1) var<storage, read_write> logits: array<mat4x4<elem>>;
@group(0) @binding(2) var<storage, read> targets: array<u32>;
@group(0) @binding(3) var<storage, read> weights: array<elem>;
@group(0) @binding(4) var<uniform> p: Params;

@compute @workgroup_size(WG)
fn cross_entropy(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) t: u32) {
  let row = (wid.x + wid.y * nwg.x) * WG + t;
  if (row >= p.rows) { return; }
  let first = row * (p.vocab / 16u);
  let end = first + p.vocab / 16u;
  let w = f32(weights[row]);
  if (w == 0.0) {
    for (var i = first; i < end; i++) { logits[i] = mat4x4<elem>(); }
    losses[row] = elem(0.0);
    return;
  }
  var a = wide_empty();
  for (var i = first; i < end; i++) { a = wide_push(a, mat4x4f(logits[i])); }
  let l = sum4(a.l);
  let inv = 1.0 / l;
  let c = targets[row];
  let d = f32(logits[first + c / 16u][c / 4u % 4u][c % 4u]) - a.m;
  losses[row] = elem(-w * (d - log(l)));
  for (var i = first; i < end; i++) { logits[i] = mat4x4<elem>(exp16(less16(mat4x4f(logits[i]), a.m)) * inv * w); }
  logits[first + c / 16u][c / 4u % 4u][c % 4u] = elem(w * (exp(d) * inv - 1.0));
}

@group(0) @binding(1) var<storage, read> logits_only: array<mat4x4<elem>>;

@compute @workgroup_size(WG)
fn cross_entropy_fwd(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) t: u32) {
  let row = (wid.x + wid.y * nwg.x) * WG + t;
  if (row >= p.rows) { return; }
  let first = row * (p.vocab / 16u);
  let end = first + p.vocab / 16u;
  let w = f32(weights[row]);
  if (w == 0.0) {
    losses[row] = elem(0.0);
    return;
  }
  var a = wide_empty();
  for (var i = first; i < end; i++) { a = wide_push(a, mat4x4f(logits_only[i])); }
  let c = targets[row];
  losses[row] = elem(-w * (f32(logits_only[first + c / 16u][c / 4u % 4u][c % 4u]) - a.m - log(sum4(a.l))));
}
