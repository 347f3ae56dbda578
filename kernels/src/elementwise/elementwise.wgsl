alias elem = f32;
// fill: y = value. add: y = a + b. add_inplace: y += x. scale_inplace: y *= s. scaled_add_inplace: y += s x. All over n elements,
// one per thread.

const WG: u32 = 256u;

fn index(wid: vec3u, nwg: vec3u, t: u32) -> u32 { return (wid.x + wid.y * nwg.x) * WG + t; }

@group(0) @binding(0) var<storage, read_write> y: array<elem>;

struct FillParams { n: u32, value: f32 }
@group(0) @binding(1) var<uniform> fill_p: FillParams;

@compute @workgroup_size(WG)
fn fill(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) t: u32) {
  let i = index(wid, nwg, t);
  if (i < fill_p.n) { y[i] = elem(fill_p.value); }
}

struct Params { n: u32 }
@group(0) @binding(1) var<storage, read> a: array<elem>;
@group(0) @binding(2) var<storage, read> b: array<elem>;
@group(0) @binding(3) var<uniform> add_p: Params;

@compute @workgroup_size(WG)
fn add(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) t: u32) {
  let i = index(wid, nwg, t);
  if (i < add_p.n) { y[i] = a[i] + b[i]; }
}

@group(0) @binding(1) var<storage, read> x: array<elem>;
@group(0) @binding(2) var<uniform> p: Params;

@compute @workgroup_size(WG)
fn add_inplace(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) t: u32) {
  let i = index(wid, nwg, t);
  if (i < p.n) { y[i] += x[i]; }
}

struct ScaleParams { n: u32, s: f32 }
@group(0) @binding(1) var<uniform> scale_p: ScaleParams;

@compute @workgroup_size(WG)
fn scale_inplace(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) t: u32) {
  let i = index(wid, nwg, t);
  if (i < scale_p.n) { y[i] = elem(f32(y[i]) * scale_p.s); }
}

@group(0) @binding(2) var<uniform> scaled_p: ScaleParams;

@compute @workgroup_size(WG)
fn scaled_add_inplace(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) t: u32) {
  let i = index(wid, nwg, t);
  if (i < scaled_p.n) { y[i] = elem(f32(y[i]) + scaled_p.s * f32(x[i])); }
}
