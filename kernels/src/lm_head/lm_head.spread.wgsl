alias elem = f32;
// lm_head_dlogits for hardware: a workgroup of 256 threads for each 1,024 columns of a row, four loads of a thread on their way at once. Neighbours
// read neighbours, whatever a row's length and start. Element by element what lm_head.wgsl computes.

const WG: u32 = 256u;
const COLUMNS: u32 = 1024u;

struct Params { rows: u32, vocab: u32, inv_temperature: f32 }

@group(0) @binding(0) var<storage, read_write> dlogits: array<elem>;
@group(0) @binding(1) var<storage, read> targets: array<u32>;
@group(0) @binding(2) var<storage, read> lse: array<elem>;
@group(0) @binding(3) var<storage, read> dlogprobs: array<elem>;
@group(0) @binding(4) var<uniform> p: Params;

fn load(base: u32, c: u32) -> f32 { return f32(dlogits[base + min(c, p.vocab - 1u)]); }

fn load4(base: u32, c: u32) -> vec4f { return vec4f(load(base, c), load(base, c + WG), load(base, c + 2u * WG), load(base, c + 3u * WG)); }

struct Row { base: u32, target_c: u32, lse: f32, g: f32 }

fn store(r: Row, c: u32, x: f32) {
  if (c >= p.vocab) { return; }
  let prob = exp(x * p.inv_temperature - r.lse);
  dlogits[r.base + c] = elem(select(r.g * (select(0.0, 1.0, c == r.target_c) - prob), 0.0, r.g == 0.0));
}

@compute @workgroup_size(WG)
fn lm_head_dlogits(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) t: u32) {
  let pieces = (p.vocab + COLUMNS - 1u) / COLUMNS;
  let index = wid.x + wid.y * nwg.x;
  let row = index / pieces;
  if (row >= p.rows) { return; }
  let c = index % pieces * COLUMNS + t;
  let r = Row(row * p.vocab, targets[row], f32(lse[row]), f32(dlogprobs[row]) * p.inv_temperature);
  let x = load4(r.base, c);
  store(r, c, x.x);
  store(r, c + WG, x.y);
  store(r, c + 2u * WG, x.z);
  store(r, c + 3u * WG, x.w);
}
