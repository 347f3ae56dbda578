alias elem = f32;
// concat.wgsl with four elements per thread, for hardware; na and nb are multiples of 4.

const WG: u32 = 64u;

struct Params { na: u32, nb: u32 }

@group(0) @binding(0) var<storage, read_write> y: array<vec4<elem>>;
@group(0) @binding(1) var<storage, read> a: array<vec4<elem>>;
@group(0) @binding(2) var<storage, read> b: array<vec4<elem>>;
@group(0) @binding(3) var<uniform> p: Params;

@compute @workgroup_size(WG)
fn concat(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) t: u32) {
  let i = (wid.x + wid.y * nwg.x) * WG + t;
  let seam = p.na / 4u;
  if (i < seam) {
    y[i] = a[i];
  } else if (i < seam + p.nb / 4u) {
    y[i] = b[i - seam];
  }
}

@group(0) @binding(0) var<storage, read_write> da: array<vec4<elem>>;
@group(0) @binding(1) var<storage, read_write> db: array<vec4<elem>>;
@group(0) @binding(2) var<storage, read> dy: array<vec4<elem>>;
@group(0) @binding(3) var<uniform> ps: Params;

@compute @workgroup_size(WG)
fn split(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) t: u32) {
  let i = (wid.x + wid.y * nwg.x) * WG + t;
  let seam = ps.na / 4u;
  if (i >= seam + ps.nb / 4u) { return; }
  let value = dy[i];
  if (i < seam) { da[i] = value; } else { db[i - seam] = value; }
}
