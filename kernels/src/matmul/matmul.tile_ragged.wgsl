alias elem = f32;
//!use common/matmul_io.wgsl
//!use common/block_tile.wgsl
//!use common/matmul_place.wgsl
// Tiles in workgroup memory (common/block_tile.wgsl) for any shape, number by number, for hardware; otherwise as matmul.tile.wgsl.

@group(0) @binding(1) var<storage, read> a: array<elem>;
@group(0) @binding(2) var<storage, read> b: array<elem>;
@group(0) @binding(6) var<storage, read_write> parts: array<f32>;

override form: u32 = 0u;
override RUNS_A: bool = form != TN;
override RUNS_B: bool = form == NT;

fn rows_at(place: vec3u, i: u32, l: u32) -> vec4f {
  if (l >= last) { return vec4f(); }
  let at = l * k_step_a(form);
  return vec4f(
    f32(a[at + row_start(form, place.z, i)]), f32(a[at + row_start(form, place.z, i + 1u)]),
    f32(a[at + row_start(form, place.z, i + 2u)]), f32(a[at + row_start(form, place.z, i + 3u)]),
  );
}

fn columns_at(place: vec3u, j: u32, l: u32) -> vec4f {
  if (l >= last) { return vec4f(); }
  let at = l * k_step_b(form);
  return vec4f(
    f32(b[at + column_start(form, place.z, j)]), f32(b[at + column_start(form, place.z, j + 1u)]),
    f32(b[at + column_start(form, place.z, j + 2u)]), f32(b[at + column_start(form, place.z, j + 3u)]),
  );
}

fn block_a(place: vec3u, quad: u32, l: u32) -> mat4x4f {
  let i = place.y + 4u * quad;
  return mat4x4f(rows_at(place, i, l), rows_at(place, i, l + 1u), rows_at(place, i, l + 2u), rows_at(place, i, l + 3u));
}

fn block_b(place: vec3u, quad: u32, l: u32) -> mat4x4f {
  let j = place.x + 4u * quad;
  return mat4x4f(columns_at(place, j, l), columns_at(place, j, l + 1u), columns_at(place, j, l + 2u), columns_at(place, j, l + 3u));
}

/** A loop: written out, the epilogues of 64 outputs take CPU compilers a minute. */
fn put_block(z: u32, i: u32, j: u32, s: mat4x4f) {
  for (var e = 0u; e < 16u; e++) {
    put(z, i + e / 4u, j + e % 4u, s[e / 4u][e % 4u]);
    finish(z, i + e / 4u, j + e % 4u);
  }
}

fn keep_row(slice: u32, z: u32, i: u32, j: u32, s: vec4f) {
  if (i >= p.m) { return; }
  let at = ((slice * p.batch + z) * p.m + i) * p.n + j;
  if (j < p.n) { parts[at] = s.x; }
  if (j + 1u < p.n) { parts[at + 1u] = s.y; }
  if (j + 2u < p.n) { parts[at + 2u] = s.z; }
  if (j + 3u < p.n) { parts[at + 3u] = s.w; }
}

fn keep_block(slice: u32, z: u32, i: u32, j: u32, s: mat4x4f) {
  keep_row(slice, z, i, j, s[0]);
  keep_row(slice, z, i + 1u, j, s[1]);
  keep_row(slice, z, i + 2u, j, s[2]);
  keep_row(slice, z, i + 3u, j, s[3]);
}
