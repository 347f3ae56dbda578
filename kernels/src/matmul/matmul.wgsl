alias elem = f32;
// Matrix product, batched: c[z] (M,N) = alpha op(a[z]) op(b[z]) [+ bias (N)] [+ c[z]], sums in f32.
//   NN: a (M,K), b (K,N)    NT: a (M,K), b (N,K)    TN: a (K,M), b (K,N)
// One thread per 8 x 8 outputs, in registers; 64 threads cover 64 x 64. Neighbouring threads own neighbouring columns (and rows), 8 apart
// within a thread, so that loads coalesce and the caches serve the re-use: no workgroup memory, no barrier. Rows and columns past the
// edge read the last one and are not stored. At most FEW rows (decoding): one workgroup per 8 columns, 8 threads share the K of a
// column and their sums are added in fixed order. matmul.ts counts the workgroups by the same TILE and FEW.

const NN: u32 = 0u;
const NT: u32 = 1u;
const TN: u32 = 2u;
const TILE: u32 = 64u;
const FEW: u32 = 4u;

struct Params {
  m: u32, n: u32, k: u32, batch: u32,
  stride_a: u32, stride_b: u32, stride_c: u32,
  alpha: f32, accumulate: u32, has_bias: u32,
}

@group(0) @binding(0) var<storage, read_write> c: array<elem>;
@group(0) @binding(1) var<storage, read> a: array<elem>;
@group(0) @binding(2) var<storage, read> b: array<elem>;
@group(0) @binding(3) var<storage, read> bias: array<elem>;
@group(0) @binding(4) var<uniform> p: Params;

fn put(z: u32, i: u32, j: u32, value: f32) {
  if (i >= p.m || j >= p.n) { return; }
  let at = z * p.stride_c + i * p.n + j;
  var r = p.alpha * value;
  if (p.has_bias != 0u) { r += f32(bias[j]); }
  if (p.accumulate != 0u) { r += f32(c[at]); }
  c[at] = elem(r);
}

fn put8(z: u32, i: u32, j: u32, left: vec4f, right: vec4f) {
  for (var q = 0u; q < 4u; q++) {
    put(z, i, j + 8u * q, left[q]);
    put(z, i, j + 32u + 8u * q, right[q]);
  }
}

fn tile(form: u32, index: u32, t: u32) {
  let across = (p.n + TILE - 1u) / TILE;
  let down = (p.m + TILE - 1u) / TILE;
  let i0 = (index / across % down) * TILE + t / 8u;
  let j0 = (index % across) * TILE + t % 8u;
  let z = index / across / down;
  // Where row i0 + 8 r of op(a) and column j0 + 8 q of op(b) begin, and the way from one k to the next.
  let step_i = select(p.k, 1u, form == TN);
  let step_j = select(1u, p.k, form == NT);
  let next_a = select(1u, p.m, form == TN);
  let next_b = select(p.n, 1u, form == NT);
  var a0 = z * p.stride_a + min(i0 + 0u, p.m - 1u) * step_i;
  var a1 = z * p.stride_a + min(i0 + 8u, p.m - 1u) * step_i;
  var a2 = z * p.stride_a + min(i0 + 16u, p.m - 1u) * step_i;
  var a3 = z * p.stride_a + min(i0 + 24u, p.m - 1u) * step_i;
  var a4 = z * p.stride_a + min(i0 + 32u, p.m - 1u) * step_i;
  var a5 = z * p.stride_a + min(i0 + 40u, p.m - 1u) * step_i;
  var a6 = z * p.stride_a + min(i0 + 48u, p.m - 1u) * step_i;
  var a7 = z * p.stride_a + min(i0 + 56u, p.m - 1u) * step_i;
  var b0 = z * p.stride_b + min(j0 + 0u, p.n - 1u) * step_j;
  var b1 = z * p.stride_b + min(j0 + 8u, p.n - 1u) * step_j;
  var b2 = z * p.stride_b + min(j0 + 16u, p.n - 1u) * step_j;
  var b3 = z * p.stride_b + min(j0 + 24u, p.n - 1u) * step_j;
  var b4 = z * p.stride_b + min(j0 + 32u, p.n - 1u) * step_j;
  var b5 = z * p.stride_b + min(j0 + 40u, p.n - 1u) * step_j;
  var b6 = z * p.stride_b + min(j0 + 48u, p.n - 1u) * step_j;
  var b7 = z * p.stride_b + min(j0 + 56u, p.n - 1u) * step_j;
  var l0 = vec4f(); var r0 = vec4f();
  var l1 = vec4f(); var r1 = vec4f();
  var l2 = vec4f(); var r2 = vec4f();
  var l3 = vec4f(); var r3 = vec4f();
  var l4 = vec4f(); var r4 = vec4f();
  var l5 = vec4f(); var r5 = vec4f();
  var l6 = vec4f(); var r6 = vec4f();
  var l7 = vec4f(); var r7 = vec4f();
  for (var l = 0u; l < p.k; l++) {
    let left = vec4f(f32(b[b0]), f32(b[b1]), f32(b[b2]), f32(b[b3]));
    let right = vec4f(f32(b[b4]), f32(b[b5]), f32(b[b6]), f32(b[b7]));
    let x0 = f32(a[a0]); l0 += x0 * left; r0 += x0 * right; a0 += next_a;
    let x1 = f32(a[a1]); l1 += x1 * left; r1 += x1 * right; a1 += next_a;
    let x2 = f32(a[a2]); l2 += x2 * left; r2 += x2 * right; a2 += next_a;
    let x3 = f32(a[a3]); l3 += x3 * left; r3 += x3 * right; a3 += next_a;
    let x4 = f32(a[a4]); l4 += x4 * left; r4 += x4 * right; a4 += next_a;
    let x5 = f32(a[a5]); l5 += x5 * left; r5 += x5 * right; a5 += next_a;
    let x6 = f32(a[a6]); l6 += x6 * left; r6 += x6 * right; a6 += next_a;
    let x7 = f32(a[a7]); l7 += x7 * left; r7 += x7 * right; a7 += next_a;
    b0 += next_b; b1 += next_b; b2 += next_b; b3 += next_b; b4 += next_b; b5 += next_b; b6 += next_b; b7 += next_b;
  }
  put8(z, i0 + 0u, j0, l0, r0);
  put8(z, i0 + 8u, j0, l1, r1);
  put8(z, i0 + 16u, j0, l2, r2);
  put8(z, i0 + 24u, j0, l3, r3);
  put8(z, i0 + 32u, j0, l4, r4);
  put8(z, i0 + 40u, j0, l5, r5);
  put8(z, i0 + 48u, j0, l6, r6);
  put8(z, i0 + 56u, j0, l7, r7);
}

var<workgroup> parts: array<vec4f, 64>;

fn few(form: u32, index: u32, t: u32) {
  let across = (p.n + 7u) / 8u;
  let z = index / across;
  let j = (index % across) * 8u + t % 8u;
  let column = min(j, p.n - 1u);
  let next_a = select(1u, p.m, form == TN);
  let step_i = select(p.k, 1u, form == TN);
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
