alias elem = f32;
//!use common/row_lanes.wgsl
//!use common/strips.wgsl
//!use common/strip_entropy.wgsl
//!use common/wide.wgsl
// lm_head_logprob of lm_head.wgsl for hardware and vocabularies of any size: `lanes` threads per row, 32 columns each at a time.

struct Params { rows: u32, vocab: u32, inv_temperature: f32 }

@group(0) @binding(0) var<storage, read_write> logprobs: array<elem>;
@group(0) @binding(1) var<storage, read_write> entropy: array<elem>;
@group(0) @binding(2) var<storage, read_write> lse: array<elem>;
@group(0) @binding(3) var<storage, read> logits: array<elem>;
@group(0) @binding(4) var<storage, read> targets: array<u32>;
@group(0) @binding(5) var<uniform> p: Params;

fn column(at: u32) -> f32 { return f32(logits[at]); }

@compute @workgroup_size(WG)
fn lm_head_logprob(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) t: u32) {
  let row = row_of(wid, nwg, t);
  let lane = t % lanes;
  let there = min(row, p.rows - 1u);
  let base = there * p.vocab;
  let own = f32(logits[base + min(targets[there], p.vocab - 1u)]);
  let scale = p.inv_temperature;
  var x = strip_entropy_empty();
  for (var c = lane; c - lane < p.vocab; c += TURN) {
    let a = strip(base, p.vocab, c);
    let b = strip(base, p.vocab, c + 16u * lanes);
    x = strip_entropy_push(x, a, c, p.vocab, scale);
    x = strip_entropy_push(x, b, c + 16u * lanes, p.vocab, scale);
  }
  let sums = strip_entropy_of_row(x, scale, t);
  if (row >= p.rows || lane != 0u) { return; }
  let log_l = log(sums.y);
  logprobs[row] = elem((own - sums.x) * scale - log_l);
  entropy[row] = elem(log_l - sums.z / sums.y);
  lse[row] = elem(sums.x * scale + log_l);
}
