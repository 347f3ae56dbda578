alias elem = f32;
// What a kernel cannot beat: y = x over n elements (n a multiple of 4), and multiply-adds that never leave registers.
// floor_copy_wide: the same with 64 bytes per thread, which some adapters move faster (n a multiple of 16).
// floor_fma: y[i] = sum of 12 chains, each `iters` times acc = acc * a + b; a and b are params, so that nothing folds.
// floor_fma_scalar: the same in chains of single numbers, eight steps a turn (iters a multiple of 8): what SwiftShader keeps in registers.
// One thread per vec4 of floor_copy, per matrix of floor_copy_wide and per item of floor_fma and floor_fma_scalar.

const WG: u32 = 64u;
/** Threads that copy: adapters that compute on the CPU pay for each workgroup. */
const COPY_WG: u32 = 256u;

struct CopyParams { n: u32 }
struct FmaParams { items: u32, iters: u32, a: f32, b: f32 }

@group(0) @binding(0) var<storage, read_write> y: array<vec4f>;
@group(0) @binding(1) var<storage, read> x: array<vec4f>;
@group(0) @binding(2) var<uniform> p_copy: CopyParams;
@group(0) @binding(1) var<uniform> p_fma: FmaParams;

@compute @workgroup_size(COPY_WG)
fn floor_copy(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) t: u32) {
  let i = (wid.x + wid.y * nwg.x) * COPY_WG + t;
  if (4u * i < p_copy.n) { y[i] = x[i]; }
}

@group(0) @binding(0) var<storage, read_write> y_wide: array<mat4x4f>;
@group(0) @binding(1) var<storage, read> x_wide: array<mat4x4f>;

@compute @workgroup_size(COPY_WG)
fn floor_copy_wide(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) t: u32) {
  let i = (wid.x + wid.y * nwg.x) * COPY_WG + t;
  if (16u * i < p_copy.n) { y_wide[i] = x_wide[i]; }
}

@compute @workgroup_size(WG)
fn floor_fma(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) t: u32) {
  let i = (wid.x + wid.y * nwg.x) * WG + t;
  if (i >= p_fma.items) { return; }
  let a = vec4f(p_fma.a);
  let b = vec4f(p_fma.b);
  var s0 = vec4f(1.0); var s1 = vec4f(2.0); var s2 = vec4f(3.0); var s3 = vec4f(4.0);
  var s4 = vec4f(5.0); var s5 = vec4f(6.0); var s6 = vec4f(7.0); var s7 = vec4f(8.0);
  var s8 = vec4f(9.0); var s9 = vec4f(10.0); var s10 = vec4f(11.0); var s11 = vec4f(12.0);
  for (var n = 0u; n < p_fma.iters; n++) {
    s0 = fma(s0, a, b); s1 = fma(s1, a, b); s2 = fma(s2, a, b); s3 = fma(s3, a, b);
    s4 = fma(s4, a, b); s5 = fma(s5, a, b); s6 = fma(s6, a, b); s7 = fma(s7, a, b);
    s8 = fma(s8, a, b); s9 = fma(s9, a, b); s10 = fma(s10, a, b); s11 = fma(s11, a, b);
  }
  y[i] = s0 + s1 + s2 + s3 + s4 + s5 + s6 + s7 + s8 + s9 + s10 + s11;
}

@compute @workgroup_size(WG)
fn floor_fma_scalar(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) t: u32) {
  let i = (wid.x + wid.y * nwg.x) * WG + t;
  if (i >= p_fma.items) { return; }
  let a = p_fma.a;
  let b = p_fma.b;
  var s0 = 1.0; var s1 = 2.0; var s2 = 3.0; var s3 = 4.0; var s4 = 5.0; var s5 = 6.0;
  var s6 = 7.0; var s7 = 8.0; var s8 = 9.0; var s9 = 10.0; var s10 = 11.0; var s11 = 12.0;
  for (var n = 0u; n < p_fma.iters; n += 8u) {
    s0 = s0 * a + b; s1 = s1 * a + b; s2 = s2 * a + b; s3 = s3 * a + b; s4 = s4 * a + b; s5 = s5 * a + b;
    s6 = s6 * a + b; s7 = s7 * a + b; s8 = s8 * a + b; s9 = s9 * a + b; s10 = s10 * a + b; s11 = s11 * a + b;
    s0 = s0 * a + b; s1 = s1 * a + b; s2 = s2 * a + b; s3 = s3 * a + b; s4 = s4 * a + b; s5 = s5 * a + b;
    s6 = s6 * a + b; s7 = s7 * a + b; s8 = s8 * a + b; s9 = s9 * a + b; s10 = s10 * a + b; s11 = s11 * a + b;
    s0 = s0 * a + b; s1 = s1 * a + b; s2 = s2 * a + b; s3 = s3 * a + b; s4 = s4 * a + b; s5 = s5 * a + b;
    s6 = s6 * a + b; s7 = s7 * a + b; s8 = s8 * a + b; s9 = s9 * a + b; s10 = s10 * a + b; s11 = s11 * a + b;
    s0 = s0 * a + b; s1 = s1 * a + b; s2 = s2 * a + b; s3 = s3 * a + b; s4 = s4 * a + b; s5 = s5 * a + b;
    s6 = s6 * a + b; s7 = s7 * a + b; s8 = s8 * a + b; s9 = s9 * a + b; s10 = s10 * a + b; s11 = s11 * a + b;
    s0 = s0 * a + b; s1 = s1 * a + b; s2 = s2 * a + b; s3 = s3 * a + b; s4 = s4 * a + b; s5 = s5 * a + b;
    s6 = s6 * a + b; s7 = s7 * a + b; s8 = s8 * a + b; s9 = s9 * a + b; s10 = s10 * a + b; s11 = s11 * a + b;
    s0 = s0 * a + b; s1 = s1 * a + b; s2 = s2 * a + b; s3 = s3 * a + b; s4 = s4 * a + b; s5 = s5 * a + b;
    s6 = s6 * a + b; s7 = s7 * a + b; s8 = s8 * a + b; s9 = s9 * a + b; s10 = s10 * a + b; s11 = s11 * a + b;
    s0 = s0 * a + b; s1 = s1 * a + b; s2 = s2 * a + b; s3 = s3 * a + b; s4 = s4 * a + b; s5 = s5 * a + b;
    s6 = s6 * a + b; s7 = s7 * a + b; s8 = s8 * a + b; s9 = s9 * a + b; s10 = s10 * a + b; s11 = s11 * a + b;
    s0 = s0 * a + b; s1 = s1 * a + b; s2 = s2 * a + b; s3 = s3 * a + b; s4 = s4 * a + b; s5 = s5 * a + b;
    s6 = s6 * a + b; s7 = s7 * a + b; s8 = s8 * a + b; s9 = s9 * a + b; s10 = s10 * a + b; s11 = s11 * a + b;
  }
  y[i] = vec4f(s0 + s1 + s2 + s3 + s4 + s5 + s6 + s7 + s8 + s9 + s10 + s11);
}
