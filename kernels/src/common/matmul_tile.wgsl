// Register tile of one thread: rows i0, i0 + 8, … i0 + 56 by columns j0, j0 + 8, … j0 + 56 of op(a[z]) op(b[z]), summed over k0 <= l < k1
// front to back. Element [2 r + q / 4][q % 4] is row i0 + 8 r, column j0 + 8 q. 64 threads cover 64 x 64: neighbours own neighbouring
// columns and rows, so that loads coalesce and the caches serve the re-use.

@group(0) @binding(1) var<storage, read> a: array<elem>;
@group(0) @binding(2) var<storage, read> b: array<elem>;

fn tile_8x8(form: u32, z: u32, i0: u32, j0: u32, k0: u32, k1: u32) -> array<vec4f, 16> {
  let next_a = k_step_a(form);
  let next_b = k_step_b(form);
  let from_a = k0 * next_a;
  let from_b = k0 * next_b;
  var a0 = from_a + row_start(form, z, i0);
  var a1 = from_a + row_start(form, z, i0 + 8u);
  var a2 = from_a + row_start(form, z, i0 + 16u);
  var a3 = from_a + row_start(form, z, i0 + 24u);
  var a4 = from_a + row_start(form, z, i0 + 32u);
  var a5 = from_a + row_start(form, z, i0 + 40u);
  var a6 = from_a + row_start(form, z, i0 + 48u);
  var a7 = from_a + row_start(form, z, i0 + 56u);
  var b0 = from_b + column_start(form, z, j0);
  var b1 = from_b + column_start(form, z, j0 + 8u);
  var b2 = from_b + column_start(form, z, j0 + 16u);
  var b3 = from_b + column_start(form, z, j0 + 24u);
  var b4 = from_b + column_start(form, z, j0 + 32u);
  var b5 = from_b + column_start(form, z, j0 + 40u);
  var b6 = from_b + column_start(form, z, j0 + 48u);
  var b7 = from_b + column_start(form, z, j0 + 56u);
  var l0 = vec4f(); var r0 = vec4f();
  var l1 = vec4f(); var r1 = vec4f();
  var l2 = vec4f(); var r2 = vec4f();
  var l3 = vec4f(); var r3 = vec4f();
  var l4 = vec4f(); var r4 = vec4f();
  var l5 = vec4f(); var r5 = vec4f();
  var l6 = vec4f(); var r6 = vec4f();
  var l7 = vec4f(); var r7 = vec4f();
  for (var l = k0; l < k1; l++) {
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
  return array<vec4f, 16>(l0, r0, l1, r1, l2, r2, l3, r3, l4, r4, l5, r5, l6, r6, l7, r7);
}
