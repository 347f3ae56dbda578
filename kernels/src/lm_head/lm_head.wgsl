alias elem = f32;
//!use common/block_reduce.wgsl
//!use common/row_softmax.wgsl
// Log-probabilities of chosen tokens from logits (rows, vocab); z = logits * inv_temperature, p = softmax(z) over vocab:
//   lse[i] = ln sum_c exp(z[i,c]);  logprobs[i] = z[i,targets[i]] - lse[i];  entropy[i] = lse[i] - sum_c p[i,c] z[i,c]  (nats).
// Backward, in place of the logits: dlogits[i,c] = dlogprobs[i] (1[c = targets[i]] - exp(z[i,c] - lse[i])) inv_temperature.
// A row of dlogprobs 0 (masked, or clipped) gives exactly 0. targets < vocab, inv_temperature > 0. One workgroup per row; thread t owns columns t, t + WG, ... Sums in f32.

const WG: u32 = 64u;

struct Params { rows: u32, vocab: u32, inv_temperature: f32 }

@group(0) @binding(0) var<storage, read_write> logprobs: array<elem>;
@group(0) @binding(1) var<storage, read_write> entropy: array<elem>;
@group(0) @binding(2) var<storage, read_write> lse: array<elem>;
@group(0) @binding(3) var<storage, read> logits: array<elem>;
@group(0) @binding(4) var<storage, read> targets: array<u32>;
@group(0) @binding(5) var<uniform> p: Params;

@compute @workgroup_size(WG)
fn lm_head_logprob(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) t: u32) {
  let row = wid.x + wid.y * nwg.x;
  if (row >= p.rows) { return; }
  let base = row * p.vocab;
  var a = row_empty();
  for (var c = t; c < p.vocab; c += WG) { a = row_push(a, f32(logits[base + c]), p.inv_temperature); }
  a = block_row(a, p.inv_temperature, t);
  if (t != 0u) { return; }
  let log_l = log(a.l);
  logprobs[row] = elem((f32(logits[base + targets[row]]) - a.m) * p.inv_temperature - log_l);
  entropy[row] = elem(log_l - a.s / a.l);
  lse[row] = elem(a.m * p.inv_temperature + log_l);
}

@group(0) @binding(0) var<storage, read_write> dlogits: array<elem>;
@group(0) @binding(1) var<storage, read> targets_b: array<u32>;
@group(0) @binding(2) var<storage, read> lse_saved: array<elem>;
@group(0) @binding(3) var<storage, read> dlogprobs: array<elem>;
@group(0) @binding(4) var<uniform> pb: Params;

@compute @workgroup_size(WG)
fn lm_head_dlogits(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) t: u32) {
  let row = wid.x + wid.y * nwg.x;
  if (row >= pb.rows) { return; }
  let base = row * pb.vocab;
  let g = f32(dlogprobs[row]) * pb.inv_temperature;
  if (g == 0.0) {
    for (var c = t; c < pb.vocab; c += WG) { dlogits[base + c] = elem(0.0); }
    return;
  }
  let target_c = targets_b[row];
  let l = f32(lse_saved[row]);
  for (var c = t; c < pb.vocab; c += WG) {
    let prob = exp(f32(dlogits[base + c]) * pb.inv_temperature - l);
    dlogits[base + c] = elem(g * (select(0.0, 1.0, c == target_c) - prob));
  }
}
