alias elem = f32;
//!use common/wide.wgsl
// lm_head.wgsl with a thread per row, 16 columns at a time; vocab is a multiple of 16.

const WG: u32 = 64u;
// exp(-200) is 0 in f32: the floor keeps exp(d) d at 0 where d would be minus infinity.
const FLOOR: f32 = -200.0;

struct Params { rows: u32, vocab: u32, inv_temperature: f32 }

@group(0) @binding(0) var<storage, read_write> logprobs: array<elem>;
@group(0) @binding(1) var<storage, read_write> entropy: array<elem>;
@group(0) @binding(2) var<storage, read_write> lse: array<elem>;
@group(0) @binding(3) var<storage, read> logits: array<mat4x4<elem>>;
@group(0) @binding(4) var<storage, read> targets: array<u32>;
@group(0) @binding(5) var<uniform> p: Params;

fn floor16(v: mat4x4f) -> mat4x4f {
  let least = vec4f(FLOOR);
  return mat4x4f(max(v[0], least), max(v[1], least), max(v[2], least), max(v[3], least));
}

// l = sum exp(d), s = sum exp(d) d with d = (logit - m) inv_temperature, as row_softmax.wgsl.
@compute @workgroup_size(WG)
fn lm_head_logprob(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) t: u32) {
  let row = (wid.x + wid.y * nwg.x) * WG + t;
  if (row >= p.rows) { return; }
  let first = row * (p.vocab / 16u);
  let end = first + p.vocab / 16u;
  var m = LOWEST;
  var l = vec4f();
  var s = vec4f();
  for (var i = first; i < end; i++) {
    let v = mat4x4f(logits[i]);
    let top = max(m, max16(v));
    let down = max((m - top) * p.inv_temperature, FLOOR);
    let d = floor16(less16(v, top) * p.inv_temperature);
    let e = exp16(d);
    s = (s + l * down) * exp(down) + sum16(mul16(e, d));
    l = l * exp(down) + sum16(e);
    m = top;
  }
  let total = sum4(l);
  let log_l = log(total);
  let c = targets[row];
  logprobs[row] = elem((f32(logits[first + c / 16u][c / 4u % 4u][c % 4u]) - m) * p.inv_temperature - log_l);
  entropy[row] = elem(log_l - sum4(s) / total);
  lse[row] = elem(m * p.inv_temperature + log_l);
}

@group(0) @binding(0) var<storage, read_write> dlogits: array<mat4x4<elem>>;
@group(0) @binding(1) var<storage, read> targets_b: array<u32>;
@group(0) @binding(2) var<storage, read> lse_saved: array<elem>;
@group(0) @binding(3) var<storage, read> dlogprobs: array<elem>;
@group(0) @binding(4) var<uniform> pb: Params;

@compute @workgroup_size(WG)
fn lm_head_dlogits(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) t: u32) {
  let row = (wid.x + wid.y * nwg.x) * WG + t;
  if (row >= pb.rows) { return; }
  let first = row * (pb.vocab / 16u);
  let end = first + pb.vocab / 16u;
  let g = f32(dlogprobs[row]) * pb.inv_temperature;
  if (g == 0.0) {
    for (var i = first; i < end; i++) { dlogits[i] = mat4x4<elem>(); }
    return;
  }
  let l = f32(lse_saved[row]);
  let c = targets_b[row];
  let own = exp(f32(dlogits[first + c / 16u][c / 4u % 4u][c % 4u]) * pb.inv_temperature - l);
  for (var i = first; i < end; i++) {
    dlogits[i] = mat4x4<elem>(exp16(less16(mat4x4f(dlogits[i]) * pb.inv_temperature, l)) * -g);
  }
  dlogits[first + c / 16u][c / 4u % 4u][c % 4u] = elem(g * (1.0 - own));
}
