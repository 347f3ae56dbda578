alias elem = f32;
//!use common/column_sums.wgsl
// bias.wgsl for hardware: four columns to a load, eight rows on their way at once. cols is a multiple of 4.

struct Params { rows: u32, cols: u32 }

@group(0) @binding(0) var<storage, read_write> dbias: array<vec4f>;
@group(0) @binding(1) var<storage, read> dy: array<vec4<elem>>;
@group(0) @binding(2) var<uniform> p: Params;

fn term(row: u32, c: u32) -> vec4f { return vec4f(dy[row * (p.cols / 4u) + c]); }

@compute @workgroup_size(256)
fn bias_bwd(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) t: u32) {
  let c = (wid.x + wid.y * nwg.x) * ACROSS + t % ACROSS;
  let sum = column_sums(p.rows, min(c, p.cols / 4u - 1u), t);
  if (t < ACROSS && c < p.cols / 4u) { dbias[c] += sum; }
}
