alias elem = f32;
//!use common/block_reduce.wgsl
// Time-aware attention of ConCare over a patient's visits, per feature f and patient b; visits packed, v in starts[b] .. starts[b+1].
//   s_v = sigmoid(q . k_v), q of the last visit;  e_v = s_v / (rho g_v dt_v),  rho = sigmoid(rate_f),  g_v = log(2.72 + 1 - s_v),
//   dt_v = (last - v) + 1 (the last visit has 1);  alpha = softmax_v e;  context = sum_v alpha_v h_v, 0 for a patient without visits.
// The method's ReLU around e is left out: s, rho, g and dt are all above 0, so it never acts.
// Backward: dh_v = alpha_v dcontext;  de_v = alpha_v (dcontext . h_v - sum_u alpha_u dcontext . h_u);
//   ddot_v = de_v / (rho dt_v) (g_v + s_v / (3.72 - s_v)) / g_v^2  s_v (1 - s_v);  dk_v = ddot_v q;  dq = sum_v ddot_v k_v at the last visit,
//   0 at the others;  drate = -(1 - rho) sum_v de_v e_v, summed over patients in order by a second entry.
// h, dh (F, N, D); qk, dqk (F, N, 2A) = q then k; weights (F, N, 2) = s, alpha; context (F, B, D); ddot (F, N); rate_terms (F, B).
// One workgroup per feature and patient; thread t owns channels t, t + WG, ...; thread 0 writes the weights.

const WG: u32 = 64u;

struct Params { features: u32, batch: u32, visits: u32, hidden: u32, key_dim: u32 }

@group(0) @binding(0) var<storage, read_write> context: array<elem>;
@group(0) @binding(1) var<storage, read_write> weights: array<elem>;
@group(0) @binding(2) var<storage, read> h: array<elem>;
@group(0) @binding(3) var<storage, read> qk: array<elem>;
@group(0) @binding(4) var<storage, read> rate: array<elem>;
@group(0) @binding(5) var<storage, read> starts: array<u32>;
@group(0) @binding(6) var<uniform> p: Params;

fn sigmoid(v: f32) -> f32 { return 1.0 / (1.0 + exp(-v)); }

fn energy(s: f32, rho: f32, dt: f32) -> f32 { return s / (rho * log(3.72 - s) * dt); }

@compute @workgroup_size(WG)
fn time_attention_fwd(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) t: u32) {
  let item = wid.x + wid.y * nwg.x;
  if (item >= p.features * p.batch) { return; }
  let f = item / p.batch;
  let b = item % p.batch;
  let base = f * p.visits;
  let lo = starts[b];
  let hi = starts[b + 1u];
  let rho = sigmoid(f32(rate[f]));
  // Every thread runs the softmax of the few visits on its own: no barriers. First s and the largest e, then the sum, then alpha.
  var m = 0.0;
  for (var v = lo; v < hi; v++) {
    let q = (base + hi - 1u) * 2u * p.key_dim;
    let k = (base + v) * 2u * p.key_dim + p.key_dim;
    var dot = 0.0;
    for (var a = 0u; a < p.key_dim; a++) { dot += f32(qk[q + a]) * f32(qk[k + a]); }
    let s = sigmoid(dot);
    m = max(m, energy(s, rho, f32(hi - v)));
    if (t == 0u) { weights[(base + v) * 2u] = elem(s); }
  }
  storageBarrier();
  var l = 0.0;
  for (var v = lo; v < hi; v++) { l += exp(energy(f32(weights[(base + v) * 2u]), rho, f32(hi - v)) - m); }
  for (var v = lo; v < hi; v++) {
    let alpha = exp(energy(f32(weights[(base + v) * 2u]), rho, f32(hi - v)) - m) / l;
    if (t == 0u) { weights[(base + v) * 2u + 1u] = elem(alpha); }
  }
  storageBarrier();
  for (var c = t; c < p.hidden; c += WG) {
    var sum = 0.0;
    for (var v = lo; v < hi; v++) { sum += f32(weights[(base + v) * 2u + 1u]) * f32(h[(base + v) * p.hidden + c]); }
    context[item * p.hidden + c] = elem(sum);
  }
}

@group(0) @binding(0) var<storage, read_write> dh: array<elem>;
@group(0) @binding(1) var<storage, read_write> ddot: array<elem>;
@group(0) @binding(2) var<storage, read_write> rate_terms: array<elem>;
@group(0) @binding(3) var<storage, read> dcontext: array<elem>;
@group(0) @binding(4) var<storage, read> h_in: array<elem>;
@group(0) @binding(5) var<storage, read> weights_in: array<elem>;
@group(0) @binding(6) var<storage, read> rate_in: array<elem>;
@group(0) @binding(7) var<storage, read> starts_in: array<u32>;
@group(0) @binding(8) var<uniform> pb: Params;

@compute @workgroup_size(WG)
fn time_attention_bwd(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) t: u32) {
  let item = wid.x + wid.y * nwg.x;
  if (item >= pb.features * pb.batch) { return; }
  let f = item / pb.batch;
  let b = item % pb.batch;
  let base = f * pb.visits;
  let lo = starts_in[b];
  let hi = starts_in[b + 1u];
  let rho = sigmoid(f32(rate_in[f]));
  var mean = 0.0;
  for (var v = lo; v < hi; v++) {
    let alpha = f32(weights_in[(base + v) * 2u + 1u]);
    for (var c = t; c < pb.hidden; c += WG) {
      let dc = f32(dcontext[item * pb.hidden + c]);
      mean += alpha * dc * f32(h_in[(base + v) * pb.hidden + c]);
      dh[(base + v) * pb.hidden + c] = elem(alpha * dc);
    }
  }
  mean = block_sum(mean, t);
  var term = 0.0;
  for (var v = lo; v < hi; v++) {
    var dalpha = 0.0;
    for (var c = t; c < pb.hidden; c += WG) {
      dalpha += f32(dcontext[item * pb.hidden + c]) * f32(h_in[(base + v) * pb.hidden + c]);
    }
    dalpha = block_sum(dalpha, t);
    let s = f32(weights_in[(base + v) * 2u]);
    let de = f32(weights_in[(base + v) * 2u + 1u]) * (dalpha - mean);
    let dt = f32(hi - v);
    let g = log(3.72 - s);
    term -= (1.0 - rho) * de * energy(s, rho, dt);
    if (t == 0u) { ddot[base + v] = elem(de / (rho * dt) * (g + s / (3.72 - s)) / (g * g) * s * (1.0 - s)); }
  }
  if (t == 0u) { rate_terms[item] = elem(term); }
}

@group(0) @binding(0) var<storage, read_write> dqk: array<elem>;
@group(0) @binding(1) var<storage, read> ddot_in: array<elem>;
@group(0) @binding(2) var<storage, read> qk_in: array<elem>;
@group(0) @binding(3) var<storage, read> starts_qk: array<u32>;
@group(0) @binding(4) var<uniform> pq: Params;

@compute @workgroup_size(WG)
fn time_attention_bwd_qk(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) t: u32) {
  let item = wid.x + wid.y * nwg.x;
  if (item >= pq.features * pq.batch) { return; }
  let base = item / pq.batch * pq.visits;
  let lo = starts_qk[item % pq.batch];
  let hi = starts_qk[item % pq.batch + 1u];
  let width = 2u * pq.key_dim;
  for (var a = t; a < pq.key_dim; a += WG) {
    var dq = 0.0;
    for (var v = lo; v < hi; v++) {
      let d = f32(ddot_in[base + v]);
      dq += d * f32(qk_in[(base + v) * width + pq.key_dim + a]);
      dqk[(base + v) * width + a] = elem(0.0);
      dqk[(base + v) * width + pq.key_dim + a] = elem(d * f32(qk_in[(base + hi - 1u) * width + a]));
    }
    if (hi > lo) { dqk[(base + hi - 1u) * width + a] = elem(dq); }
  }
}

struct RateParams { features: u32, batch: u32 }

@group(0) @binding(0) var<storage, read_write> drate: array<elem>;
@group(0) @binding(1) var<storage, read> terms: array<elem>;
@group(0) @binding(2) var<uniform> pr: RateParams;

@compute @workgroup_size(WG)
fn time_attention_bwd_rate(@builtin(global_invocation_id) id: vec3u) {
  let f = id.x;
  if (f >= pr.features) { return; }
  var sum = 0.0;
  for (var b = 0u; b < pr.batch; b++) { sum += f32(terms[f * pr.batch + b]); }
  drate[f] = elem(f32(drate[f]) + sum);
}
