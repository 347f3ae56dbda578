alias elem = f32;
// Gradient of a bias added to every row of (rows, cols): dbias[c] += sum_n dy[n,c].
// One workgroup of LANES x LANES threads per LANES columns; lane l sums rows l, l + LANES, ..., the lanes' sums are added in order:
// no atomics, the same bits every time. The forward is the epilogue of matmul.

const LANES: u32 = 16u;

struct Params { rows: u32, cols: u32 }

@group(0) @binding(0) var<storage, read_write> dbias: array<f32>;
@group(0) @binding(1) var<storage, read> dy: array<elem>;
@group(0) @binding(2) var<uniform> p: Params;

var<workgroup> lane_sums: array<f32, LANES * LANES>;

@compute @workgroup_size(LANES, LANES)
fn bias_bwd(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_id) id: vec3u) {
  let c = (wid.x + wid.y * nwg.x) * LANES + id.x;
  var sum = 0.0;
  if (c < p.cols) {
    for (var n = id.y; n < p.rows; n += LANES) { sum += f32(dy[n * p.cols + c]); }
  }
  lane_sums[id.y * LANES + id.x] = sum;
  workgroupBarrier();
  if (id.y != 0u || c >= p.cols) { return; }
  var total = 0.0;
  for (var l = 0u; l < LANES; l++) { total += lane_sums[l * LANES + id.x]; }
  dbias[c] += total;
}
