alias elem = f32;
//!use common/matmul_io.wgsl
//!use common/matmul_tile.wgsl
// Matrix product, batched: c[z] (M,N) = alpha op(a[z]) op(b[z]) [+ bias (N)] [+ c[z]], sums in f32; then an epilogue with an auxiliary
// operand of c's shape and layout: c = aux + c (residual), c = silu(aux) c (SwiGLU).
//   NN: a (M,K), b (K,N)    NT: a (M,K), b (N,K)    TN: a (K,M), b (K,N)
// One thread per 8 x 8 outputs, in registers; 64 threads cover 64 x 64: no workgroup memory, no barrier. Rows and columns past the
// edge read the last one and are not stored. At most FEW rows (decoding): one workgroup per 8 columns, 8 threads share the K of a
// column and their sums are added in fixed order. matmul.ts counts the workgroups by the same TILE and FEW.
// Its variants, files named after their technique, fill the same bindings: README.md.

const TILE: u32 = 64u;
const FEW: u32 = 4u;

fn tile(form: u32, index: u32, t: u32) {
  let across = (p.n + TILE - 1u) / TILE;
  let down = (p.m + TILE - 1u) / TILE;
  let i0 = (index / across % down) * TILE + t / 8u;
  let j0 = (index % across) * TILE + t % 8u;
  let z = index / across / down;
  var sums = tile_8x8(form, z, i0, j0, 0u, p.k);
  // A loop, not 64 calls: unrolled, the epilogue takes compilers ten times as long as the product.
  for (var e = 0u; e < 64u; e++) { put(z, i0 + e / 8u * 8u, j0 + e % 8u * 8u, sums[e / 4u][e % 4u]); }
  for (var e = 0u; e < epilogues(64u); e++) { finish(z, i0 + e / 8u * 8u, j0 + e % 8u * 8u); }
}

var<workgroup> parts: array<vec4f, 64>;

fn few(form: u32, index: u32, t: u32) {
  let across = (p.n + 7u) / 8u;
  let z = index / across;
  let j = (index % across) * 8u + t % 8u;
  let column = min(j, p.n - 1u);
  let next_a = k_step_a(form);
  let step_i = row_step(form);
  let base = z * p.stride_a;
  let bottom = p.m - 1u;
  var acc = vec4f();
  for (var l = t / 8u; l < p.k; l += 8u) {
    let v = f32(b[z * p.stride_b + select(l * p.n + column, column * p.k + l, form == NT)]);
    let at = base + l * next_a;
    acc += v * vec4f(f32(a[at]), f32(a[at + min(1u, bottom) * step_i]), f32(a[at + min(2u, bottom) * step_i]), f32(a[at + bottom * step_i]));
  }
  parts[t] = acc;
  workgroupBarrier();
  let row = t / 8u;
  if (row >= FEW) { return; }
  var sum = 0.0;
  for (var s = 0u; s < 8u; s++) { sum += parts[s * 8u + t % 8u][row]; }
  put(z, row, j, sum);
  finish(z, row, j);
}

fn run(form: u32, index: u32, t: u32) {
  if (p.m <= FEW) {
    if (index < (p.n + 7u) / 8u * p.batch) { few(form, index, t); }
  } else if (index < (p.n + TILE - 1u) / TILE * ((p.m + TILE - 1u) / TILE) * p.batch) {
    tile(form, index, t);
  }
}

@compute @workgroup_size(64)
fn matmul_nn(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) t: u32) {
  run(NN, wid.x + wid.y * nwg.x, t);
}

@compute @workgroup_size(64)
fn matmul_nt(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) t: u32) {
  run(NT, wid.x + wid.y * nwg.x, t);
}

@compute @workgroup_size(64)
fn matmul_tn(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) t: u32) {
  run(TN, wid.x + wid.y * nwg.x, t);
}
