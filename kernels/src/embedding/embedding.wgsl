alias elem = f32;
// Rows by index: y[t] = weight[ids[t]] for y (tokens, dim), weight (vocab, dim); an id >= vocab gives zeros.
// Backward, dy (tokens, dim), tokens grouped by id on the host: unique_ids[u] stands for tokens order[row_start[u] .. row_start[u+1]):
//   dweight[unique_ids[u]] += sum over that range of dy[order[i]], in the range's order: no atomics, the same bits every time.
// Forward: one thread per element. Backward: one workgroup per u; thread t owns columns t, t + WG, ...

const WG: u32 = 64u;

struct FwdParams { tokens: u32, dim: u32, vocab: u32 }

@group(0) @binding(0) var<storage, read_write> y: array<elem>;
@group(0) @binding(1) var<storage, read> weight: array<elem>;
@group(0) @binding(2) var<storage, read> ids: array<u32>;
@group(0) @binding(3) var<uniform> p: FwdParams;

@compute @workgroup_size(WG)
fn embedding_fwd(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) t: u32) {
  let i = (wid.x + wid.y * nwg.x) * WG + t;
  if (i >= p.tokens * p.dim) { return; }
  let id = ids[i / p.dim];
  var value = elem(0.0);
  if (id < p.vocab) { value = weight[id * p.dim + i % p.dim]; }
  y[i] = value;
}

struct BwdParams { num_unique: u32, dim: u32, tokens: u32, vocab: u32 }

@group(0) @binding(0) var<storage, read_write> dweight: array<f32>;
@group(0) @binding(1) var<storage, read> dy: array<elem>;
@group(0) @binding(2) var<storage, read> order: array<u32>;
@group(0) @binding(3) var<storage, read> unique_ids: array<u32>;
@group(0) @binding(4) var<storage, read> row_start: array<u32>;
@group(0) @binding(5) var<uniform> pb: BwdParams;

@compute @workgroup_size(WG)
fn embedding_bwd(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) t: u32) {
  let u = wid.x + wid.y * nwg.x;
  if (u >= pb.num_unique) { return; }
  let id = unique_ids[u];
  if (id >= pb.vocab) { return; }
  let first = row_start[u];
  let last = row_start[u + 1u];
  for (var c = t; c < pb.dim; c += WG) {
    var sum = 0.0;
    for (var i = first; i < last; i++) { sum += f32(dy[order[i] * pb.dim + c]); }
    dweight[id * pb.dim + c] += sum;
  }
}
