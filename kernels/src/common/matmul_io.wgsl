//!use common/epilogue.wgsl
// What all variants of matmul share: the params block, the output and its epilogue, where rows and columns begin.

const NN: u32 = 0u;
const NT: u32 = 1u;
const TN: u32 = 2u;

struct Params {
  m: u32, n: u32, k: u32, batch: u32,
  stride_a: u32, stride_b: u32, stride_c: u32,
  alpha: f32, accumulate: u32, has_bias: u32, epilogue: u32,
}

@group(0) @binding(0) var<storage, read_write> c: array<elem>;
@group(0) @binding(3) var<storage, read> bias: array<elem>;
/** Of c's shape and layout; read where there is an epilogue. */
@group(0) @binding(4) var<storage, read> aux: array<elem>;
@group(0) @binding(5) var<uniform> p: Params;

/** c[z][i][j] = alpha value [+ bias[j]] [+ c[z][i][j]]; nothing past the edge. */
fn put(z: u32, i: u32, j: u32, value: f32) {
  if (i >= p.m || j >= p.n) { return; }
  let at = z * p.stride_c + i * p.n + j;
  var r = p.alpha * value;
  if (p.has_bias != 0u) { r += f32(bias[j]); }
  if (p.accumulate != 0u) { r += f32(c[at]); }
  c[at] = elem(r);
}

/** The epilogue of one output that its thread has put. */
fn finish(z: u32, i: u32, j: u32) {
  if (p.epilogue == NO_EPILOGUE || i >= p.m || j >= p.n) { return; }
  let at = z * p.stride_c + i * p.n + j;
  c[at] = elem(with_auxiliary(p.epilogue, f32(aux[at]), f32(c[at])));
}

/** Elements from one row of op(a), one column of op(b), to the next; and from one k to the next. */
fn row_step(form: u32) -> u32 { return select(p.k, 1u, form == TN); }
fn column_step(form: u32) -> u32 { return select(1u, p.k, form == NT); }
fn k_step_a(form: u32) -> u32 { return select(1u, p.m, form == TN); }
fn k_step_b(form: u32) -> u32 { return select(p.n, 1u, form == NT); }

/** Where row i of op(a[z]), column j of op(b[z]) begins; past the edge, the last one. */
fn row_start(form: u32, z: u32, i: u32) -> u32 { return z * p.stride_a + min(i, p.m - 1u) * row_step(form); }
fn column_start(form: u32, z: u32, j: u32) -> u32 { return z * p.stride_b + min(j, p.n - 1u) * column_step(form); }
