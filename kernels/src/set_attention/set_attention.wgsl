alias elem = f32;
//!use common/block_reduce.wgsl
// Full multi-head attention over a small set of tokens, its weights kept because they are read as importances.
//   p[b,g,i,j] = softmax_j( scale q[i,b,g] . k[j,b,g] ),  out[i,b,g] = sum_j p[b,g,i,j] v[j,b,g];  head g owns channels g E .. (g+1) E.
// Backward: dv[j] = sum_i p_ij dout_i;  dp_ij = dout_i . v_j;  ds_ij = scale p_ij (dp_ij - sum_k p_ik dp_ik), which takes p's place;
//   dq[i] = sum_j ds_ij k_j;  dk[j] = sum_i ds_ij q_i.
// q, out, dout, dq (Q, B, D); k, v, dk, dv (S, B, D), token-major; p (B, G, Q, S); E = D / G.
// Forward: one workgroup per (b, g, i). Backward: one per (b, g). Threads own keys, then channels, in turn.

const WG: u32 = 64u;
const LOWEST: f32 = -3.4028234e38;

struct Params { queries: u32, tokens: u32, batch: u32, hidden: u32, heads: u32, scale: f32 }

@group(0) @binding(0) var<storage, read_write> out: array<elem>;
@group(0) @binding(1) var<storage, read_write> p: array<elem>;
@group(0) @binding(2) var<storage, read> q: array<elem>;
@group(0) @binding(3) var<storage, read> k: array<elem>;
@group(0) @binding(4) var<storage, read> v: array<elem>;
@group(0) @binding(5) var<uniform> pf: Params;

@compute @workgroup_size(WG)
fn set_attention_fwd(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) t: u32) {
  let item = wid.x + wid.y * nwg.x;
  if (item >= pf.batch * pf.heads * pf.queries) { return; }
  let i = item % pf.queries;
  let g = item / pf.queries % pf.heads;
  let b = item / (pf.queries * pf.heads);
  let e = pf.hidden / pf.heads;
  let base = b * pf.hidden + g * e;
  let step = pf.batch * pf.hidden;
  let row = item * pf.tokens;
  var m = LOWEST;
  for (var j = t; j < pf.tokens; j += WG) {
    var dot = 0.0;
    for (var c = 0u; c < e; c++) { dot += f32(q[i * step + base + c]) * f32(k[j * step + base + c]); }
    p[row + j] = elem(pf.scale * dot);
    m = max(m, pf.scale * dot);
  }
  m = block_max(m, t);
  var l = 0.0;
  for (var j = t; j < pf.tokens; j += WG) {
    let x = exp(f32(p[row + j]) - m);
    p[row + j] = elem(x);
    l += x;
  }
  l = block_sum(l, t);
  for (var j = t; j < pf.tokens; j += WG) { p[row + j] = elem(f32(p[row + j]) / l); }
  storageBarrier();
  for (var c = t; c < e; c += WG) {
    var sum = 0.0;
    for (var j = 0u; j < pf.tokens; j++) { sum += f32(p[row + j]) * f32(v[j * step + base + c]); }
    out[i * step + base + c] = elem(sum);
  }
}

@group(0) @binding(0) var<storage, read_write> dq: array<elem>;
@group(0) @binding(1) var<storage, read_write> dk: array<elem>;
@group(0) @binding(2) var<storage, read_write> dv: array<elem>;
@group(0) @binding(3) var<storage, read_write> p_ds: array<elem>;
@group(0) @binding(4) var<storage, read> dout: array<elem>;
@group(0) @binding(5) var<storage, read> q_in: array<elem>;
@group(0) @binding(6) var<storage, read> k_in: array<elem>;
@group(0) @binding(7) var<storage, read> v_in: array<elem>;
@group(0) @binding(8) var<uniform> pb: Params;

@compute @workgroup_size(WG)
fn set_attention_bwd(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) t: u32) {
  let item = wid.x + wid.y * nwg.x;
  if (item >= pb.batch * pb.heads) { return; }
  let g = item % pb.heads;
  let b = item / pb.heads;
  let e = pb.hidden / pb.heads;
  let base = b * pb.hidden + g * e;
  let step = pb.batch * pb.hidden;
  let rows = item * pb.queries * pb.tokens;
  for (var n = t; n < pb.tokens * e; n += WG) {
    let j = n / e;
    let c = n % e;
    var sum = 0.0;
    for (var i = 0u; i < pb.queries; i++) { sum += f32(p_ds[rows + i * pb.tokens + j]) * f32(dout[i * step + base + c]); }
    dv[j * step + base + c] = elem(sum);
  }
  storageBarrier();
  for (var i = 0u; i < pb.queries; i++) {
    let row = rows + i * pb.tokens;
    var mean = 0.0;
    for (var j = t; j < pb.tokens; j += WG) { mean += f32(p_ds[row + j]) * dp(i * step + base, j * step + base, e); }
    mean = block_sum(mean, t);
    for (var j = t; j < pb.tokens; j += WG) {
      p_ds[row + j] = elem(pb.scale * f32(p_ds[row + j]) * (dp(i * step + base, j * step + base, e) - mean));
    }
  }
  storageBarrier();
  for (var n = t; n < pb.queries * e; n += WG) {
    let i = n / e;
    let c = n % e;
    var sum = 0.0;
    for (var j = 0u; j < pb.tokens; j++) { sum += f32(p_ds[rows + i * pb.tokens + j]) * f32(k_in[j * step + base + c]); }
    dq[i * step + base + c] = elem(sum);
  }
  for (var n = t; n < pb.tokens * e; n += WG) {
    let j = n / e;
    let c = n % e;
    var sum = 0.0;
    for (var i = 0u; i < pb.queries; i++) { sum += f32(p_ds[rows + i * pb.tokens + j]) * f32(q_in[i * step + base + c]); }
    dk[j * step + base + c] = elem(sum);
  }
}

fn dp(at_i: u32, at_j: u32, e: u32) -> f32 {
  var dot = 0.0;
  for (var c = 0u; c < e; c++) { dot += f32(dout[at_i + c]) * f32(v_in[at_j + c]); }
  return dot;
}
