alias elem = f32;
// y[r, c] = x[r ld + c] for y (rows, cols): some columns of a wider matrix, side by side; x starts at the first of them. A matrix in blocks
// of rows takes its gradient block by block, from as many columns of dy. One thread per element.

const WG: u32 = 256u;

struct Params { rows: u32, cols: u32, ld: u32 }

@group(0) @binding(0) var<storage, read_write> y: array<elem>;
@group(0) @binding(1) var<storage, read> x: array<elem>;
@group(0) @binding(2) var<uniform> p: Params;

@compute @workgroup_size(WG)
fn columns(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) t: u32) {
  let i = (wid.x + wid.y * nwg.x) * WG + t;
  if (i >= p.rows * p.cols) { return; }
  y[i] = x[(i / p.cols) * p.ld + i % p.cols];
}
