alias elem = f32;
//!use common/qmatmul_io.wgsl
//!use common/staged_tile.wgsl
// NT beyond FEW rows, for hardware and few outputs: common/staged_tile.wgsl. W is dequantised on its way to workgroup memory.

fn line_of_a(at: vec3u, q: u32) -> vec4f { return a4(min(at.y, p.m - 1u), q, p.k); }
fn line_of_b(at: vec3u, q: u32) -> vec4f { return load4(min(at.x, p.n - 1u), q, p.k); }

@compute @workgroup_size(64)
fn qmatmul_staged(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) t: u32) {
  let place = staged_place(wid.x + wid.y * nwg.x, p.m, p.n);
  if (place.z >= 1u) { return; } // the same for the whole workgroup
  var sums = staged_sums(place, (p.k + 3u) / 4u, t);
  for (var e = 0u; e < tall * wide; e++) {
    put(place.y + staged_row(t, e), place.x + staged_column(t, e), sums[e / wide][e % wide]);
    finish(place.y + staged_row(t, e), place.x + staged_column(t, e));
  }
}
