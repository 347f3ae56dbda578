alias elem = f32;
// decov_center of decov.wgsl for hardware: a workgroup of 16 x 16 threads for 16 columns of a token holds them in registers, 16 rows to a thread, so
// that all loads are on their way at once and each number is read once. batch is at most 256.

const COLS: u32 = 16u;
const LANES: u32 = 16u;

struct Params { tokens: u32, batch: u32, channels: u32 }

@group(0) @binding(0) var<storage, read_write> xc: array<elem>;
@group(0) @binding(1) var<storage, read> x: array<elem>;
@group(0) @binding(2) var<uniform> p: Params;

var<workgroup> lane_sums: array<f32, COLS * LANES>;

/** Past the end of the batch the last row. */
fn load(base: u32, row: u32) -> f32 { return f32(x[base + min(row, p.batch - 1u) * p.channels]); }

fn load4(base: u32, row: u32) -> vec4f {
  return vec4f(load(base, row), load(base, row + LANES), load(base, row + 2u * LANES), load(base, row + 3u * LANES));
}

fn rows4(row: u32) -> vec4u { return vec4u(row) + LANES * vec4u(0u, 1u, 2u, 3u); }

@compute @workgroup_size(COLS, LANES)
fn decov_center(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_id) id: vec3u) {
  let across = (p.channels + COLS - 1u) / COLS;
  let index = wid.x + wid.y * nwg.x;
  let token = min(index / across, p.tokens - 1u);
  let c = index % across * COLS + id.x;
  let base = token * p.batch * p.channels + min(c, p.channels - 1u);
  let v = mat4x4f(load4(base, id.y), load4(base, id.y + 4u * LANES), load4(base, id.y + 8u * LANES), load4(base, id.y + 12u * LANES));
  var sums = vec4f();
  for (var i = 0u; i < 4u; i++) { sums += select(vec4f(), v[i], rows4(id.y + 4u * i * LANES) < vec4u(p.batch)); }
  lane_sums[id.y * COLS + id.x] = sums.x + sums.y + (sums.z + sums.w);
  workgroupBarrier();
  var sum = 0.0;
  for (var l = 0u; l < LANES; l++) { sum += lane_sums[l * COLS + id.x]; }
  if (c >= p.channels || index >= across * p.tokens) { return; }
  let mean = sum / f32(p.batch);
  for (var i = 0u; i < 4u; i++) {
    let rows = rows4(id.y + 4u * i * LANES);
    for (var j = 0u; j < 4u; j++) {
      if (rows[j] < p.batch) { xc[base + rows[j] * p.channels] = elem(v[i][j] - mean); }
    }
  }
}
