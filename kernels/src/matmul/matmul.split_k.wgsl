alias elem = f32;
//!use common/matmul_io.wgsl
//!use common/matmul_tile.wgsl
// Split-K, for few tiles and a long K: `slices` workgroups share the K of a 64 x 64 tile and leave their sums in `parts`
// (slices, batch, M, N); a second pass adds the slices in order. Deterministic, but not in matmul.wgsl's order.

@group(0) @binding(6) var<storage, read_write> parts: array<f32>;

override form: u32 = 0u;
override slices: u32 = 4u;

const TILE: u32 = 64u;

@compute @workgroup_size(64)
fn matmul_split_k(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) t: u32) {
  let across = (p.n + TILE - 1u) / TILE;
  let down = (p.m + TILE - 1u) / TILE;
  let index = wid.x + wid.y * nwg.x;
  if (index >= across * down * p.batch * slices) { return; }
  let i0 = (index / across % down) * TILE + t / 8u;
  let j0 = (index % across) * TILE + t % 8u;
  let z = index / across / down % p.batch;
  let slice = index / across / down / p.batch;
  let each = (p.k + slices - 1u) / slices;
  var sums = tile_8x8(form, z, i0, j0, min(slice * each, p.k), min((slice + 1u) * each, p.k));
  for (var e = 0u; e < 64u; e++) {
    let i = i0 + e / 8u * 8u;
    let j = j0 + e % 8u * 8u;
    if (i < p.m && j < p.n) { parts[((slice * p.batch + z) * p.m + i) * p.n + j] = sums[e / 4u][e % 4u]; }
  }
}

@compute @workgroup_size(64)
fn matmul_split_k_sum(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) t: u32) {
  let each = p.batch * p.m * p.n;
  let at = (wid.x + wid.y * nwg.x) * 64u + t;
  if (at >= each) { return; }
  var sum = 0.0;
  for (var s = 0u; s < slices; s++) { sum += parts[s * each + at]; }
  put(at / (p.m * p.n), at / p.n % p.m, at % p.n, sum);
  finish(at / (p.m * p.n), at / p.n % p.m, at % p.n);
}
