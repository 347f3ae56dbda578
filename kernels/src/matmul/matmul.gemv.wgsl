alias elem = f32;
//!use common/matmul_io.wgsl
// At most 4 rows, b read four numbers at a time along the direction in which its memory runs (matmul.ts sees to it that rows of b
// start at multiples of four). 64 threads add their sums in fixed order through workgroup memory.
//   NT: 4 columns per workgroup; 16 threads share the K of a column, 64 numbers of K a step.
//   NN, TN: 16 columns per workgroup, four per thread; 16 threads share the K, 16 rows of b a step.

@group(0) @binding(1) var<storage, read> a: array<elem>;
@group(0) @binding(2) var<storage, read> b: array<vec4<elem>>;

override form: u32 = 0u;

/** Sums of thread t: NT, its column by row of op(a) in [0]; NN and TN, its four columns in [row]. */
var<workgroup> parts: array<array<vec4f, 4>, 64>;

/** Rows 0 to 3 of op(a[z]) at k = l; past the edge, the last one. */
fn column_of_a(z: u32, l: u32) -> vec4f {
  let at = l * k_step_a(form);
  return vec4f(
    f32(a[at + row_start(form, z, 0u)]), f32(a[at + row_start(form, z, 1u)]),
    f32(a[at + row_start(form, z, 2u)]), f32(a[at + row_start(form, z, 3u)]),
  );
}

@compute @workgroup_size(64)
fn matmul_gemv(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) t: u32) {
  let columns = select(16u, 4u, form == NT);
  let across = (p.n + columns - 1u) / columns;
  let index = wid.x + wid.y * nwg.x;
  if (index >= across * p.batch) { return; } // the same for the whole workgroup
  let z = index / across;
  let left = (index % across) * columns;
  if (form == NT) {
    let share = t % 16u;
    let from_b = column_start(form, z, left + t / 16u) / 4u;
    var acc = vec4f();
    for (var l = share; l < p.k / 4u; l += 16u) {
      let v = vec4f(b[from_b + l]);
      acc += v.x * column_of_a(z, 4u * l);
      acc += v.y * column_of_a(z, 4u * l + 1u);
      acc += v.z * column_of_a(z, 4u * l + 2u);
      acc += v.w * column_of_a(z, 4u * l + 3u);
    }
    parts[t][0] = acc;
    workgroupBarrier();
    if (t >= 16u) { return; }
    var sum = 0.0;
    for (var s = 0u; s < 16u; s++) { sum += parts[16u * (t % 4u) + s][0][t / 4u]; }
    put(z, t / 4u, left + t % 4u, sum);
  } else {
    let from_b = (z * p.stride_b + min(left + 4u * (t % 4u), p.n - 4u)) / 4u;
    var s0 = vec4f(); var s1 = vec4f(); var s2 = vec4f(); var s3 = vec4f();
    for (var l = t / 4u; l < p.k; l += 16u) {
      let v = vec4f(b[from_b + l * (p.n / 4u)]);
      let x = column_of_a(z, l);
      s0 += x.x * v; s1 += x.y * v; s2 += x.z * v; s3 += x.w * v;
    }
    parts[t] = array<vec4f, 4>(s0, s1, s2, s3);
    workgroupBarrier();
    let row = t / 16u;
    let column = t % 16u;
    var sum = 0.0;
    for (var s = 0u; s < 16u; s++) { sum += parts[4u * s + column / 4u][row][column % 4u]; }
    put(z, row, left + column, sum);
  }
}
