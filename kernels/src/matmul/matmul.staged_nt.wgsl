alias elem = f32;
//!use common/matmul_io.wgsl
//!use common/staged_tile.wgsl
// NT beyond FEW rows, for hardware and few outputs: common/staged_tile.wgsl. variants.ts sees to it that lines start at multiples of four.

@group(0) @binding(1) var<storage, read> a: array<vec4<elem>>;
@group(0) @binding(2) var<storage, read> b: array<vec4<elem>>;

fn line_of_a(at: vec3u, q: u32) -> vec4f { return vec4f(a[row_start(NT, at.z, at.y) / 4u + q]); }
fn line_of_b(at: vec3u, q: u32) -> vec4f { return vec4f(b[column_start(NT, at.z, at.x) / 4u + q]); }

@compute @workgroup_size(64)
fn matmul_staged(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) t: u32) {
  let place = staged_place(wid.x + wid.y * nwg.x, p.m, p.n);
  if (place.z >= p.batch) { return; } // the same for the whole workgroup
  var sums = staged_sums(place, p.k / 4u, t);
  for (var e = 0u; e < tall * wide; e++) {
    put(place.z, place.y + staged_row(t, e), place.x + staged_column(t, e), sums[e / wide][e % wide]);
    finish(place.z, place.y + staged_row(t, e), place.x + staged_column(t, e));
  }
}
