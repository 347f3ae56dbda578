alias elem = f32;
//!use common/matmul_io.wgsl
//!use common/block_tile.wgsl
//!use common/matmul_place.wgsl
// Tiles in workgroup memory (common/block_tile.wgsl) where everything along memory comes in fours, for hardware: operands and c are read and written
// as vec4. A place is the tile's first column, its first row and the batch. matmul_tile_slice: the same for one of `slices` parts of K, whose sums
// stay in `parts` (slices, batch, M, N) for matmul.slices_sum.wgsl to add up.

@group(0) @binding(0) var<storage, read_write> c4: array<vec4<elem>>;
@group(0) @binding(1) var<storage, read> a4: array<vec4<elem>>;
@group(0) @binding(2) var<storage, read> b4: array<vec4<elem>>;
@group(0) @binding(3) var<storage, read> bias4: array<vec4<elem>>;
@group(0) @binding(4) var<storage, read> aux4: array<vec4<elem>>;
@group(0) @binding(6) var<storage, read_write> parts: array<vec4f>;

override form: u32 = 0u;
override RUNS_A: bool = form != TN;
override RUNS_B: bool = form == NT;

fn block_a(place: vec3u, quad: u32, l: u32) -> mat4x4f {
  if (l >= last) { return mat4x4f(); }
  let i = place.y + 4u * quad;
  if (RUNS_A) {
    let q = l / 4u;
    return transpose(mat4x4f(
      vec4f(a4[row_start(form, place.z, i) / 4u + q]), vec4f(a4[row_start(form, place.z, i + 1u) / 4u + q]),
      vec4f(a4[row_start(form, place.z, i + 2u) / 4u + q]), vec4f(a4[row_start(form, place.z, i + 3u) / 4u + q]),
    ));
  }
  let at = row_start(form, place.z, min(i, p.m - 4u)) / 4u;
  return mat4x4f(step_of_a(at, l), step_of_a(at, l + 1u), step_of_a(at, l + 2u), step_of_a(at, l + 3u));
}

fn step_of_a(at: u32, l: u32) -> vec4f { return select(vec4f(), vec4f(a4[at + min(l, p.k - 1u) * (p.m / 4u)]), l < last); }

fn block_b(place: vec3u, quad: u32, l: u32) -> mat4x4f {
  if (l >= last) { return mat4x4f(); }
  let j = place.x + 4u * quad;
  if (RUNS_B) {
    let q = l / 4u;
    return transpose(mat4x4f(
      vec4f(b4[column_start(form, place.z, j) / 4u + q]), vec4f(b4[column_start(form, place.z, j + 1u) / 4u + q]),
      vec4f(b4[column_start(form, place.z, j + 2u) / 4u + q]), vec4f(b4[column_start(form, place.z, j + 3u) / 4u + q]),
    ));
  }
  let at = column_start(form, place.z, min(j, p.n - 4u)) / 4u;
  return mat4x4f(step_of_b(at, l), step_of_b(at, l + 1u), step_of_b(at, l + 2u), step_of_b(at, l + 3u));
}

fn step_of_b(at: u32, l: u32) -> vec4f { return select(vec4f(), vec4f(b4[at + min(l, p.k - 1u) * (p.n / 4u)]), l < last); }

/** As put and finish of common/matmul_io.wgsl, for columns j .. j + 3. */
fn put4(z: u32, i: u32, j: u32, value: vec4f) {
  if (i >= p.m || j >= p.n) { return; }
  let at = (z * p.stride_c + i * p.n + j) / 4u;
  var r = p.alpha * value;
  if (p.has_bias != 0u) { r += vec4f(bias4[j / 4u]); }
  if (p.accumulate != 0u) { r += vec4f(c4[at]); }
  if (p.epilogue != NO_EPILOGUE) {
    let x = vec4f(aux4[at]);
    r = vec4f(
      with_auxiliary(p.epilogue, x.x, r.x), with_auxiliary(p.epilogue, x.y, r.y),
      with_auxiliary(p.epilogue, x.z, r.z), with_auxiliary(p.epilogue, x.w, r.w),
    );
  }
  c4[at] = vec4<elem>(r);
}

/** A loop: written out, the epilogues of 64 outputs take CPU compilers half a minute. */
fn put_block(z: u32, i: u32, j: u32, s: mat4x4f) {
  for (var r = 0u; r < 4u; r++) { put4(z, i + r, j, s[r]); }
}

fn keep_part(slice: u32, z: u32, i: u32, j: u32, value: vec4f) {
  if (i < p.m && j < p.n) { parts[(((slice * p.batch + z) * p.m + i) * p.n + j) / 4u] = value; }
}

fn keep_block(slice: u32, z: u32, i: u32, j: u32, s: mat4x4f) {
  keep_part(slice, z, i, j, s[0]);
  keep_part(slice, z, i + 1u, j, s[1]);
  keep_part(slice, z, i + 2u, j, s[2]);
  keep_part(slice, z, i + 3u, j, s[3]);
}
