alias elem = f32;
// F independent GRUs of one scalar input each, over packed visits: patient b owns visits starts[b] .. starts[b+1].
// With h' the hidden state of the visit before (0 at the first), PyTorch's order and semantics:
//   r = sigmoid(w_ir x + b_ir + W_hr h' + b_hr),  z = sigmoid(w_iz x + b_iz + W_hz h' + b_hz),
//   hn = W_hn h' + b_hn,  n = tanh(w_in x + b_in + r hn),  h = (1 - z) n + z h'.
// Backward, with dh the whole gradient of h:
//   dz~ = dh (h' - n) z (1 - z),  dn~ = dh (1 - z)(1 - n^2),  dhn = dn~ r,  dr~ = dn~ hn r (1 - r),
//   dh' += dh z + W_hr^T dr~ + W_hz^T dz~ + W_hn^T dhn.
// x (F, N), h and dh (F, N, D), gates (F, N, 4, D) = r, z, n, hn; gru_bwd turns them into dr~, dz~, dn~, dhn in place.
// One workgroup per feature and ROWS patients; thread t owns channels t, t + WG, ... of all of them and steps through time.

const WG: u32 = 64u;
const ROWS: u32 = 4u;

struct Params { features: u32, batch: u32, visits: u32, hidden: u32 }

@group(0) @binding(0) var<storage, read_write> h: array<elem>;
@group(0) @binding(1) var<storage, read_write> gates: array<elem>;
@group(0) @binding(2) var<storage, read> x: array<elem>;
@group(0) @binding(3) var<storage, read> w_ih: array<elem>;
@group(0) @binding(4) var<storage, read> w_hh: array<elem>;
@group(0) @binding(5) var<storage, read> b_ih: array<elem>;
@group(0) @binding(6) var<storage, read> b_hh: array<elem>;
@group(0) @binding(7) var<storage, read> starts: array<u32>;
@group(0) @binding(8) var<uniform> p: Params;

fn sigmoid(v: f32) -> f32 { return 1.0 / (1.0 + exp(-v)); }
// WGSL lets tanh overflow for large arguments; beyond 10 it is 1 to the last bit.
fn tanh_bounded(v: f32) -> f32 { return tanh(clamp(v, -10.0, 10.0)); }

@compute @workgroup_size(WG)
fn gru_fwd(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) t: u32) {
  let blocks = (p.batch + ROWS - 1u) / ROWS;
  let item = wid.x + wid.y * nwg.x;
  if (item >= p.features * blocks) { return; }
  let f = item / blocks;
  let b0 = (item % blocks) * ROWS;
  let d = p.hidden;
  var steps = 0u;
  for (var r = 0u; r < ROWS; r++) {
    let b = min(b0 + r, p.batch - 1u);
    steps = max(steps, starts[b + 1u] - starts[b]);
  }
  for (var s = 0u; s < steps; s++) {
    for (var j = t; j < d; j += WG) {
      var acc_r = array<f32, ROWS>();
      var acc_z = array<f32, ROWS>();
      var acc_n = array<f32, ROWS>();
      if (s > 0u) {
        let wr = (f * 3u * d + j) * d;
        let wz = wr + d * d;
        let wn = wz + d * d;
        var prev = array<u32, ROWS>();
        for (var r = 0u; r < ROWS; r++) {
          // A patient who has ended re-reads the last visit; nothing is stored for it.
          let b = min(b0 + r, p.batch - 1u);
          let last = max(starts[b + 1u], starts[b] + 1u) - 1u;
          prev[r] = (f * p.visits + min(starts[b] + s - 1u, min(last, p.visits - 1u))) * d;
        }
        for (var k = 0u; k < d; k++) {
          let ur = f32(w_hh[wr + k]);
          let uz = f32(w_hh[wz + k]);
          let un = f32(w_hh[wn + k]);
          for (var r = 0u; r < ROWS; r++) {
            let hk = f32(h[prev[r] + k]);
            acc_r[r] += ur * hk;
            acc_z[r] += uz * hk;
            acc_n[r] += un * hk;
          }
        }
      }
      let i = f * 3u * d + j;
      for (var r = 0u; r < ROWS; r++) {
        let b = b0 + r;
        if (b >= p.batch) { continue; }
        let v = starts[b] + s;
        if (v >= starts[b + 1u]) { continue; }
        let at = f * p.visits + v;
        let xv = f32(x[at]);
        let rg = sigmoid(f32(w_ih[i]) * xv + f32(b_ih[i]) + acc_r[r] + f32(b_hh[i]));
        let zg = sigmoid(f32(w_ih[i + d]) * xv + f32(b_ih[i + d]) + acc_z[r] + f32(b_hh[i + d]));
        let hn = acc_n[r] + f32(b_hh[i + 2u * d]);
        let ng = tanh_bounded(f32(w_ih[i + 2u * d]) * xv + f32(b_ih[i + 2u * d]) + rg * hn);
        var before = 0.0;
        if (s > 0u) { before = f32(h[(at - 1u) * d + j]); }
        h[at * d + j] = elem((1.0 - zg) * ng + zg * before);
        gates[at * 4u * d + j] = elem(rg);
        gates[at * 4u * d + d + j] = elem(zg);
        gates[at * 4u * d + 2u * d + j] = elem(ng);
        gates[at * 4u * d + 3u * d + j] = elem(hn);
      }
    }
    storageBarrier();
  }
}

@group(0) @binding(0) var<storage, read_write> dh: array<elem>;
@group(0) @binding(1) var<storage, read_write> dgates: array<elem>;
@group(0) @binding(2) var<storage, read> h_in: array<elem>;
@group(0) @binding(3) var<storage, read> w_hh_b: array<elem>;
@group(0) @binding(4) var<storage, read> starts_b: array<u32>;
@group(0) @binding(5) var<uniform> pb: Params;

@compute @workgroup_size(WG)
fn gru_bwd(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) t: u32) {
  let blocks = (pb.batch + ROWS - 1u) / ROWS;
  let item = wid.x + wid.y * nwg.x;
  if (item >= pb.features * blocks) { return; }
  let f = item / blocks;
  let b0 = (item % blocks) * ROWS;
  let d = pb.hidden;
  var steps = 0u;
  for (var r = 0u; r < ROWS; r++) {
    let b = min(b0 + r, pb.batch - 1u);
    steps = max(steps, starts_b[b + 1u] - starts_b[b]);
  }
  for (var back = 0u; back < steps; back++) {
    let s = steps - 1u - back;
    for (var j = t; j < d; j += WG) {
      for (var r = 0u; r < ROWS; r++) {
        let b = b0 + r;
        if (b >= pb.batch) { continue; }
        let v = starts_b[b] + s;
        if (v >= starts_b[b + 1u]) { continue; }
        let at = f * pb.visits + v;
        let g = at * 4u * d + j;
        let rg = f32(dgates[g]);
        let zg = f32(dgates[g + d]);
        let ng = f32(dgates[g + 2u * d]);
        let hn = f32(dgates[g + 3u * d]);
        let dv = f32(dh[at * d + j]);
        var before = 0.0;
        if (s > 0u) {
          before = f32(h_in[(at - 1u) * d + j]);
          dh[(at - 1u) * d + j] = elem(f32(dh[(at - 1u) * d + j]) + dv * zg);
        }
        let dn = dv * (1.0 - zg) * (1.0 - ng * ng);
        dgates[g] = elem(dn * hn * rg * (1.0 - rg));
        dgates[g + d] = elem(dv * (before - ng) * zg * (1.0 - zg));
        dgates[g + 2u * d] = elem(dn);
        dgates[g + 3u * d] = elem(dn * rg);
      }
    }
    storageBarrier();
    if (s > 0u) {
      for (var k = t; k < d; k += WG) {
        var acc = array<f32, ROWS>();
        var here = array<u32, ROWS>();
        for (var r = 0u; r < ROWS; r++) {
          let b = min(b0 + r, pb.batch - 1u);
          here[r] = (f * pb.visits + min(starts_b[b] + s, pb.visits - 1u)) * 4u * d;
        }
        for (var j = 0u; j < d; j++) {
          let w = (f * 3u * d + j) * d + k;
          let ur = f32(w_hh_b[w]);
          let uz = f32(w_hh_b[w + d * d]);
          let un = f32(w_hh_b[w + 2u * d * d]);
          for (var r = 0u; r < ROWS; r++) {
            let g = here[r] + j;
            acc[r] += ur * f32(dgates[g]) + uz * f32(dgates[g + d]) + un * f32(dgates[g + 3u * d]);
          }
        }
        for (var r = 0u; r < ROWS; r++) {
          let b = b0 + r;
          if (b >= pb.batch) { continue; }
          let v = starts_b[b] + s;
          if (v >= starts_b[b + 1u]) { continue; }
          let to = (f * pb.visits + v - 1u) * d + k;
          dh[to] = elem(f32(dh[to]) + acc[r]);
        }
      }
    }
    storageBarrier();
  }
}

// dW_hh[f,j,i] += sum over visits v that follow another of dgh[v,j] h[v-1,i], dgh = (dr~, dz~, dhn);
// dw_ih[f,j] += sum_v x[v] dgi[v,j], db_ih[f,j] += sum_v dgi[v,j], dgi = (dr~, dz~, dn~); db_hh[f,j] += sum_v dgh[v,j].
// One workgroup per feature, JB gate rows and WG columns; thread t owns one column.
const JB: u32 = 8u;

@group(0) @binding(0) var<storage, read_write> dw_hh: array<elem>;
@group(0) @binding(1) var<storage, read_write> dw_ih: array<elem>;
@group(0) @binding(2) var<storage, read_write> db_ih: array<elem>;
@group(0) @binding(3) var<storage, read_write> db_hh: array<elem>;
@group(0) @binding(4) var<storage, read> dgates_in: array<elem>;
@group(0) @binding(5) var<storage, read> h_saved: array<elem>;
@group(0) @binding(6) var<storage, read> x_in: array<elem>;
@group(0) @binding(7) var<storage, read> starts_p: array<u32>;
@group(0) @binding(8) var<uniform> pp: Params;

@compute @workgroup_size(WG)
fn gru_bwd_params(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) t: u32) {
  let d = pp.hidden;
  let j_blocks = (3u * d + JB - 1u) / JB;
  let i_blocks = (d + WG - 1u) / WG;
  let item = wid.x + wid.y * nwg.x;
  if (item >= pp.features * j_blocks * i_blocks) { return; }
  let i_block = item % i_blocks;
  let j0 = (item / i_blocks % j_blocks) * JB;
  let f = item / (i_blocks * j_blocks);
  let i = i_block * WG + t;
  if (i < d) {
    var acc = array<f32, JB>();
    for (var b = 0u; b < pp.batch; b++) {
      for (var v = starts_p[b] + 1u; v < starts_p[b + 1u]; v++) {
        let hv = f32(h_saved[(f * pp.visits + v - 1u) * d + i]);
        let g = (f * pp.visits + v) * 4u * d;
        for (var q = 0u; q < JB; q++) {
          let j = min(j0 + q, 3u * d - 1u);
          acc[q] += hv * f32(dgates_in[g + j + select(0u, d, j >= 2u * d)]);
        }
      }
    }
    for (var q = 0u; q < JB; q++) {
      if (j0 + q < 3u * d) {
        let to = (f * 3u * d + j0 + q) * d + i;
        dw_hh[to] = elem(f32(dw_hh[to]) + acc[q]);
      }
    }
  }
  let j = j0 + t;
  if (i_block == 0u && t < JB && j < 3u * d) {
    var sum_x = 0.0;
    var sum_i = 0.0;
    var sum_h = 0.0;
    let past = select(0u, d, j >= 2u * d);
    for (var v = 0u; v < pp.visits; v++) {
      let at = f * pp.visits + v;
      let gi = f32(dgates_in[at * 4u * d + j]);
      sum_x += gi * f32(x_in[at]);
      sum_i += gi;
      sum_h += f32(dgates_in[at * 4u * d + j + past]);
    }
    let to = f * 3u * d + j;
    dw_ih[to] = elem(f32(dw_ih[to]) + sum_x);
    db_ih[to] = elem(f32(db_ih[to]) + sum_i);
    db_hh[to] = elem(f32(db_hh[to]) + sum_h);
  }
}
