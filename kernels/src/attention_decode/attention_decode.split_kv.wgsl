alias elem = f32;
//!use common/block_reduce.wgsl
//!use common/decode_chunk.wgsl
// Split-KV, for few queries and many keys: a workgroup per chunk of keys of a query (common/decode_chunk.wgsl) leaves its threads' parts, and a
// second pass puts a query's chunks together in order. Same sums in the same order as attention_decode.wgsl.
// parts: of thread t of chunk c of query w, vec4 2 at = acc and 2 at + 1 = (m, l, 0, 0), at = (w chunks + c) WG + t.

@group(0) @binding(7) var<storage, read_write> parts: array<vec4f>;

/** Chunks that a row's table has room for. */
fn chunks() -> u32 { return (p.max_blocks * p.block_size + CHUNK - 1u) / CHUNK; }

@compute @workgroup_size(WG)
fn decode_chunks(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) t: u32) {
  let index = wid.x + wid.y * nwg.x;
  let w = index / chunks();
  if (w >= p.rows * p.heads) { return; }
  let n = begin(w, t);
  let start = index % chunks() * CHUNK;
  if (start >= n) { return; }
  let a = chunk(w, start, n, t);
  let at = 2u * (index * WG + t);
  parts[at] = a.acc;
  parts[at + 1u] = vec4f(a.m, a.l, 0.0, 0.0);
}

@compute @workgroup_size(WG)
fn decode_combine(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) t: u32) {
  let w = wid.x + wid.y * nwg.x;
  if (w >= p.rows * p.heads) { return; }
  let n = begin(w, t);
  var a = Partial(LOWEST, 0.0, vec4f());
  for (var c = 0u; c * CHUNK < n; c++) {
    let at = 2u * ((w * chunks() + c) * WG + t);
    a = merged(a, Partial(parts[at + 1u].x, parts[at + 1u].y, parts[at]));
  }
  finish(w, a, n, t);
}
