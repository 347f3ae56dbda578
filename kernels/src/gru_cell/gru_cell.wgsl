alias elem = f32;
//!use common/sigmoid.wgsl
// One step of a GRU in PyTorch's order and semantics, given both products: gi = W_ih x + b_ih, gh = W_hh h + b_hh, (rows, 3 hidden) each.
//   r = sigmoid(gi_r + gh_r),  z = sigmoid(gi_z + gh_z),  n = tanh(gi_n + r gh_n),  y = (1 - z) n + z h
// Backward, gates computed again:
//   dn~ = dy (1 - z)(1 - n^2),  dz~ = dy (h - n) z (1 - z),  dr~ = dn~ gh_n r (1 - r)
//   dgi = dr~, dz~, dn~;   dgh = dr~, dz~, dn~ r;   dh = dy z
// One thread per element of (rows, hidden).

const WG: u32 = 64u;

struct Params { rows: u32, hidden: u32 }

// WGSL lets tanh overflow for large arguments; beyond 10 it is 1 to the last bit.
fn tanh_bounded(v: f32) -> f32 { return tanh(clamp(v, -10.0, 10.0)); }

@group(0) @binding(0) var<storage, read_write> y: array<elem>;
@group(0) @binding(1) var<storage, read> gi: array<elem>;
@group(0) @binding(2) var<storage, read> gh: array<elem>;
@group(0) @binding(3) var<storage, read> h: array<elem>;
@group(0) @binding(4) var<uniform> p: Params;

@compute @workgroup_size(WG)
fn gru_cell_fwd(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) t: u32) {
  let i = (wid.x + wid.y * nwg.x) * WG + t;
  let d = p.hidden;
  if (i >= p.rows * d) { return; }
  let at = (i / d) * 3u * d + i % d;
  let r = sigmoid(f32(gi[at]) + f32(gh[at]));
  let z = sigmoid(f32(gi[at + d]) + f32(gh[at + d]));
  let n = tanh_bounded(f32(gi[at + 2u * d]) + r * f32(gh[at + 2u * d]));
  y[i] = elem((1.0 - z) * n + z * f32(h[i]));
}

@group(0) @binding(0) var<storage, read_write> dgi: array<elem>;
@group(0) @binding(1) var<storage, read_write> dgh: array<elem>;
@group(0) @binding(2) var<storage, read_write> dh: array<elem>;
@group(0) @binding(3) var<storage, read> dy: array<elem>;
@group(0) @binding(4) var<storage, read> gi_saved: array<elem>;
@group(0) @binding(5) var<storage, read> gh_saved: array<elem>;
@group(0) @binding(6) var<storage, read> h_saved: array<elem>;
@group(0) @binding(7) var<uniform> pb: Params;

@compute @workgroup_size(WG)
fn gru_cell_bwd(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) t: u32) {
  let i = (wid.x + wid.y * nwg.x) * WG + t;
  let d = pb.hidden;
  if (i >= pb.rows * d) { return; }
  let at = (i / d) * 3u * d + i % d;
  let hn = f32(gh_saved[at + 2u * d]);
  let r = sigmoid(f32(gi_saved[at]) + f32(gh_saved[at]));
  let z = sigmoid(f32(gi_saved[at + d]) + f32(gh_saved[at + d]));
  let n = tanh_bounded(f32(gi_saved[at + 2u * d]) + r * hn);
  let g = f32(dy[i]);
  let dn = g * (1.0 - z) * (1.0 - n * n);
  let dz = g * (f32(h_saved[i]) - n) * z * (1.0 - z);
  let dr = dn * hn * r * (1.0 - r);
  dgi[at] = elem(dr);
  dgi[at + d] = elem(dz);
  dgi[at + 2u * d] = elem(dn);
  dgh[at] = elem(dr);
  dgh[at + d] = elem(dz);
  dgh[at + 2u * d] = elem(dn * r);
  dh[i] = elem(g * z);
}
