alias elem = f32;
//!use common/column_sums.wgsl
// dweight of rmsnorm.wgsl for hardware: four columns to a load, eight rows on their way at once. cols is a multiple of 4.

struct Params { rows: u32, cols: u32 }

@group(0) @binding(0) var<storage, read_write> dweight: array<vec4f>;
@group(0) @binding(1) var<storage, read> dy: array<vec4<elem>>;
@group(0) @binding(2) var<storage, read> x: array<vec4<elem>>;
@group(0) @binding(3) var<storage, read> rstd: array<f32>;
@group(0) @binding(4) var<uniform> p: Params;

fn term(row: u32, c: u32) -> vec4f {
  let at = row * (p.cols / 4u) + c;
  return vec4f(dy[at]) * vec4f(x[at]) * rstd[row];
}

@compute @workgroup_size(256)
fn rmsnorm_bwd_dweight(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) t: u32) {
  let c = (wid.x + wid.y * nwg.x) * ACROSS + t % ACROSS;
  let sum = column_sums(p.rows, min(c, p.cols / 4u - 1u), t);
  if (t < ACROSS && c < p.cols / 4u) { dweight[c] += sum; }
}
