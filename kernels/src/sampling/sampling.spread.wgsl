alias elem = f32;
// repetition_penalty of sampling.wgsl for hardware: a workgroup of 256 threads for each 1,024 columns of a row, four loads of a thread on their
// way at once; logit by logit the same. The words of its columns are a workgroup's own: it reads them all before the row's fed token joins.

const WG: u32 = 256u;
const COLUMNS: u32 = 1024u;

struct Params { rows: u32, vocab: u32, penalty: f32 }

@group(0) @binding(0) var<storage, read_write> logits: array<elem>;
@group(0) @binding(1) var<storage, read_write> seen: array<u32>;
@group(0) @binding(2) var<storage, read> fed: array<u32>;
@group(0) @binding(3) var<uniform> p: Params;

@compute @workgroup_size(WG)
fn repetition_penalty(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) t: u32) {
  let pieces = (p.vocab + COLUMNS - 1u) / COLUMNS;
  let index = wid.x + wid.y * nwg.x;
  let row = index / pieces;
  if (row >= p.rows) { return; } // the same for the whole workgroup
  let c = vec4u(index % pieces * COLUMNS + t) + WG * vec4u(0u, 1u, 2u, 3u);
  let at = min(c, vec4u(p.vocab - 1u));
  let base = row * p.vocab;
  let words = vec4u(row * ((p.vocab + 31u) / 32u)) + at / 32u;
  let id = fed[row];
  let old = vec4u(seen[words.x], seen[words.y], seen[words.z], seen[words.w]);
  let x = vec4f(vec4<elem>(logits[base + at.x], logits[base + at.y], logits[base + at.z], logits[base + at.w]));
  storageBarrier();
  let has = (((old >> (at % 32u)) & vec4u(1u)) == vec4u(1u)) | (at == vec4u(id));
  let changed = has & (c < vec4u(p.vocab));
  let y = select(x / p.penalty, x * p.penalty, x < vec4f());
  for (var i = 0u; i < 4u; i++) {
    if (changed[i]) { logits[base + c[i]] = elem(y[i]); }
    if (c[i] == id && id < p.vocab) { seen[words[i]] = old[i] | (1u << (id % 32u)); }
  }
}
