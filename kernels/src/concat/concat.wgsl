alias elem = f32;
// concat: y = a then b;  split, its backward: da, db = the two parts of dy.  a, da (na), b, db (nb), y, dy (na + nb); flat.
// Views start at multiples of 64 elements only, so a second part at any offset needs a copy. One thread per element of y.

const WG: u32 = 64u;

struct Params { na: u32, nb: u32 }

@group(0) @binding(0) var<storage, read_write> y: array<elem>;
@group(0) @binding(1) var<storage, read> a: array<elem>;
@group(0) @binding(2) var<storage, read> b: array<elem>;
@group(0) @binding(3) var<uniform> p: Params;

@compute @workgroup_size(WG)
fn concat(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) t: u32) {
  let i = (wid.x + wid.y * nwg.x) * WG + t;
  if (i < p.na) {
    y[i] = a[i];
  } else if (i < p.na + p.nb) {
    y[i] = b[i - p.na];
  }
}

@group(0) @binding(0) var<storage, read_write> da: array<elem>;
@group(0) @binding(1) var<storage, read_write> db: array<elem>;
@group(0) @binding(2) var<storage, read> dy: array<elem>;
@group(0) @binding(3) var<uniform> ps: Params;

@compute @workgroup_size(WG)
fn split(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) t: u32) {
  let i = (wid.x + wid.y * nwg.x) * WG + t;
  if (i < ps.na) {
    da[i] = dy[i];
  } else if (i < ps.na + ps.nb) {
    db[i - ps.na] = dy[i];
  }
}
