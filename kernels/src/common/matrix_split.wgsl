// The pass that fills `packed`: common/matrix_pack.wgsl. A workgroup has 4 lines whose numbers are neighbours in memory, 64 threads each, or 16 that lie
// side by side. It reads them twice, the second time from cache.
// The including file also declares neighbours(operand) and value(operand, z, line, k).

const TOP: i32 = 14;
const THREADS: u32 = 256u;
var<workgroup> largest: array<u32, THREADS>;

fn lines_per_group(operand: u32) -> u32 { return select(16u, 4u, neighbours(operand)); }
fn groups_of(operand: u32) -> u32 {
  return (batches_of(operand) * lines_of(operand) + lines_per_group(operand) - 1u) / lines_per_group(operand);
}

/** The number without the 13 bits that f16 has no room for. Not f32(f16(x)): compilers take that for x. */
fn high(x: vec4f) -> vec4f { return bitcast<vec4f>(bitcast<vec4u>(x) & vec4u(0xffffe000u)); }
fn as_halves(x: vec4f, y: vec4f) -> vec4u { return vec4u(bitcast<vec2u>(vec4h(x)), bitcast<vec2u>(vec4h(y))); }

/** k .. k+3 of a line; zero past the end. */
fn four(operand: u32, z: u32, line: u32, k: u32) -> vec4f {
  var r = vec4f();
  for (var o = 0u; o < 4u; o++) { if (k + o < depth()) { r[o] = value(operand, z, line, k + o); } }
  return r;
}

@compute @workgroup_size(THREADS)
fn matrix_split(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) t: u32) {
  let group = wid.x + wid.y * nwg.x;
  let operand = select(B, A, group < groups_of(A));
  let each = lines_per_group(operand);
  let strands = THREADS / each;
  // Neighbouring threads load neighbours in memory.
  let own = select(t % each, t / strands, neighbours(operand));
  let strand = select(t / each, t % strands, neighbours(operand));
  let at = (group - select(groups_of(A), 0u, operand == A)) * each + own;
  let live = at < batches_of(operand) * lines_of(operand);
  let z = at / lines_of(operand);
  let line = at % lines_of(operand);
  // Without their sign the bits of numbers are ordered as the numbers are, infinity and then NaN above all.
  var most = 0u;
  if (live) {
    for (var k = strand; k < depth(); k += 8u * strands) {
      for (var o = 0u; o < 8u; o++) {
        most = max(most, bitcast<u32>(value(operand, z, line, min(k + o * strands, depth() - 1u))) & 0x7fffffffu);
      }
    }
  }
  largest[t] = most;
  workgroupBarrier();
  if (!live) { return; }
  for (var s = 0u; s < strands; s++) { most = max(most, largest[select(own + s * each, own * strands + s, neighbours(operand))]); }
  let field = i32(most >> 23u);
  let finite = field != 255;
  let exponent = clamp(TOP + 127 - field, -126, 126);
  if (strand == 0u) { packed[exponent_at(operand, z, line)] = vec4u(bitcast<u32>(select(NOT_FINITE, f32(exponent), finite)), 0u, 0u, 0u); }
  let scale = bitcast<f32>(u32(127 + exponent) << 23u);
  let first = matrices_at(operand, z, line / SIDE) + line % SIDE * ROW;
  for (var q = strand; q < steps() * ROW; q += strands) {
    let x = select(vec4f(), scale * four(operand, z, line, 8u * q), finite);
    let y = select(vec4f(), scale * four(operand, z, line, 8u * q + 4u), finite);
    let to = first + q / ROW * PARTS * MATRIX + q % ROW;
    packed[to] = as_halves(high(x), high(y));
    packed[to + MATRIX] = as_halves(x - high(x), y - high(y));
  }
}
