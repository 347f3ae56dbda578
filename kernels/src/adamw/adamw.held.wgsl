alias elem = f32;
//!use common/finite.wgsl
//!use common/row_lanes.wgsl
//!use common/wide.wgsl
// The sums of adamw.wgsl for hardware, every load of a thread on its way at once, each one row of 256 threads (common/row_lanes.wgsl). Partial: a chunk
// of 4,096 elements in registers; n is a multiple of 4. Finish: 32 partial sums to a thread at a time.

/** vec4 in 4,096 elements. */
const CHUNK: u32 = 1024u;

struct PartialParams { n: u32 }

@group(0) @binding(0) var<storage, read_write> partials: array<f32>;
@group(0) @binding(1) var<storage, read> grad: array<vec4<elem>>;
@group(0) @binding(2) var<uniform> pp: PartialParams;

fn load(at: u32) -> vec4f { return vec4f(grad[min(at, pp.n / 4u - 1u)]); }

fn squares(at: u32) -> vec4f {
  let v = mat4x4f(load(at), load(at + lanes), load(at + 2u * lanes), load(at + 3u * lanes));
  return sum16(within4(mul16(v, v), at, pp.n / 4u));
}

@compute @workgroup_size(WG)
fn grad_norm_partial(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) t: u32) {
  let chunk = wid.x + wid.y * nwg.x;
  if (chunk * CHUNK >= pp.n / 4u) { return; } // the same for the whole workgroup
  let total = row_sum(sum4(squares(chunk * CHUNK + t)), t);
  if (t == 0u) { partials[chunk] = total; }
}

struct FinishParams { count: u32, max_norm: f32 }

@group(0) @binding(0) var<storage, read_write> norm: array<f32>;
@group(0) @binding(1) var<storage, read> partials_in: array<f32>;
@group(0) @binding(2) var<uniform> pf: FinishParams;

fn partial(at: u32) -> f32 { return select(0.0, partials_in[min(at, pf.count - 1u)], at < pf.count); }

fn four(at: u32) -> vec4f { return vec4f(partial(at), partial(at + lanes), partial(at + 2u * lanes), partial(at + 3u * lanes)); }

fn sixteen(at: u32) -> mat4x4f { return mat4x4f(four(at), four(at + 4u * lanes), four(at + 8u * lanes), four(at + 12u * lanes)); }

@compute @workgroup_size(WG)
fn grad_norm_finish(@builtin(local_invocation_index) t: u32) {
  var s = vec4f();
  for (var i = 0u; i < pf.count; i += 32u * lanes) { s += sum16(sixteen(i + t)) + sum16(sixteen(i + t + 16u * lanes)); }
  let total = row_sum(sum4(s), t);
  if (t != 0u) { return; }
  var length = total;
  var coef = 0.0;
  if (finite(total)) {
    length = sqrt(total);
    coef = select(1.0, min(1.0, pf.max_norm / (length + 1e-6)), pf.max_norm > 0.0);
  }
  norm[0] = length;
  norm[1] = coef;
}
