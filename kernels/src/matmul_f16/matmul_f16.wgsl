alias elem = f32;
// c (m, n) = a b^T of f16 with sums in f32. a (m, k) and b (n, k) lie as qmatmul's f16 does (qmatmul/format.ts): two in a word, the earlier one low, rows
// padded with zeros to multiples of 8. Tile and order of sums: common/staged_tile.wgsl.

struct Params { m: u32, n: u32, k: u32 }

@group(0) @binding(0) var<storage, read_write> c: array<elem>;
@group(0) @binding(1) var<storage, read> a: array<vec2u>;
@group(0) @binding(2) var<storage, read> b: array<vec2u>;
@group(0) @binding(3) var<uniform> p: Params;

/** vec2u, four f16, of a row. */
fn pitch() -> u32 { return (p.k + 7u) / 8u * 2u; }
fn halves(x: vec2u) -> vec4f { return vec4f(unpack2x16float(x.x), unpack2x16float(x.y)); }
fn line_of_a(at: vec3u, q: u32) -> vec4f { return halves(a[min(at.y, p.m - 1u) * pitch() + q]); }
fn line_of_b(at: vec3u, q: u32) -> vec4f { return halves(b[min(at.x, p.n - 1u) * pitch() + q]); }

@compute @workgroup_size(64)
fn matmul_f16_nt(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) t: u32) {
  let place = staged_place(wid.x + wid.y * nwg.x, p.m, p.n);
  if (place.z >= 1u) { return; } // the same for the whole workgroup
  var sums = staged_sums(place, pitch(), t);
  for (var e = 0u; e < tall * wide; e++) {
    let i = place.y + staged_row(t, e);
    let j = place.x + staged_column(t, e);
    if (i < p.m && j < p.n) { c[i * p.n + j] = sums[e / wide][e % wide]; }
  }
}
//!use common/staged_tile.wgsl
