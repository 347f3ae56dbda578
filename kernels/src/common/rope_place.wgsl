// Where the numbers of a fused projection (tokens, heads + 2 kv_heads, head_dim) and of its parts q, k, v lie, STEP of them to a load. A thread has as
// many pairs: those that begin with one load, and half a head on. The including file declares STEP.

struct QkvParams { tokens: u32, heads: u32, kv_heads: u32, head_dim: u32, max_pos: u32 }

@group(0) @binding(4) var<storage, read> positions_qkv: array<u32>;
@group(0) @binding(6) var<uniform> f: QkvParams;

/** Loads of a head, and of half of it. */
fn head_loads() -> u32 { return f.head_dim / STEP; }
fn half_loads() -> u32 { return f.head_dim / (2u * STEP); }

/** Of a thread: its token, its head among all, and its first load in the head. */
fn place_of(thread: u32) -> vec3u {
  let row = thread / half_loads();
  let all = f.heads + 2u * f.kv_heads;
  return vec3u(row / all, row % all, thread % half_loads());
}

/** That load in the fused projection. */
fn in_fused(thread: u32, at: vec3u) -> u32 { return thread / half_loads() * head_loads() + at.z; }

/** That load in q, k or v. */
fn in_part(at: vec3u) -> u32 {
  let keys = f.heads;
  let values = f.heads + f.kv_heads;
  let begin = select(select(values, keys, at.y < values), 0u, at.y < keys);
  let width = select(f.kv_heads, f.heads, at.y < keys);
  return (at.x * width + at.y - begin) * head_loads() + at.z;
}
