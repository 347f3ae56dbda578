alias elem = f32;
// embedding.wgsl with four columns per thread, for hardware; dim is a multiple of 4. Backward: a thread per unique id and four columns, four tokens
// on their way at once, added in the range's order: the same bits.

const WG: u32 = 64u;

struct FwdParams { tokens: u32, dim: u32, vocab: u32 }

@group(0) @binding(0) var<storage, read_write> y: array<vec4<elem>>;
@group(0) @binding(1) var<storage, read> weight: array<vec4<elem>>;
@group(0) @binding(2) var<storage, read> ids: array<u32>;
@group(0) @binding(3) var<uniform> p: FwdParams;

@compute @workgroup_size(WG)
fn embedding_fwd(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) t: u32) {
  let i = (wid.x + wid.y * nwg.x) * WG + t;
  let wide = p.dim / 4u;
  if (i >= p.tokens * wide) { return; }
  let id = ids[i / wide];
  var value = vec4<elem>();
  if (id < p.vocab) { value = weight[id * wide + i % wide]; }
  y[i] = value;
}

struct BwdParams { num_unique: u32, dim: u32, tokens: u32, vocab: u32 }

@group(0) @binding(0) var<storage, read_write> dweight: array<vec4f>;
@group(0) @binding(1) var<storage, read> dy: array<vec4<elem>>;
@group(0) @binding(2) var<storage, read> order: array<u32>;
@group(0) @binding(3) var<storage, read> unique_ids: array<u32>;
@group(0) @binding(4) var<storage, read> row_start: array<u32>;
@group(0) @binding(5) var<uniform> pb: BwdParams;

/** Zero past the last token, which is loaded in its place. */
fn token(i: u32, last: u32, c: u32) -> vec4f {
  return select(vec4f(), vec4f(dy[order[min(i, last - 1u)] * (pb.dim / 4u) + c]), i < last);
}

@compute @workgroup_size(WG)
fn embedding_bwd(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) t: u32) {
  let i = (wid.x + wid.y * nwg.x) * WG + t;
  let wide = pb.dim / 4u;
  let u = i / wide;
  if (u >= pb.num_unique) { return; }
  let c = i % wide;
  let id = unique_ids[u];
  let last = row_start[u + 1u];
  if (id >= pb.vocab) { return; }
  let before = dweight[id * wide + c];
  var sum = vec4f();
  for (var next = row_start[u]; next < last; next += 4u) {
    let a = token(next, last, c);
    let b = token(next + 1u, last, c);
    let d = token(next + 2u, last, c);
    let e = token(next + 3u, last, c);
    sum = sum + a + b + d + e;
  }
  dweight[id * wide + c] = before + sum;
}
