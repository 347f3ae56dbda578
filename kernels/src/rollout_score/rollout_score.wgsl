alias elem = f32;
// Reward of a rollout (EAG-RL): R = w_cls R_cls + w_att R_att (the paper: lambda and 1 - lambda).
//   p = the stated probability, clipped to [floor, 1 - floor];  R_cls = log(y p + (1 - y)(1 - p)) + (right side of 0.5 ? beta |p - 0.5| : 0);
//   R_att = |C and E| / (|C or E| + unknown), 0 when nothing is named on either side.
// An answer without a probability (-1) gets R_cls = log floor, R_att = 0, parsed = 0.
// answers (n, 2) = p or -1, number of named features that do not exist; labels (n) 0 or 1; named and expert features as bits, (n, words).
// scores (n, 4) = R, R_cls, R_att, parsed. One thread per rollout.

const WG: u32 = 64u;

struct Params { n: u32, words: u32, weight_classification: f32, weight_attention: f32, beta: f32, floor: f32 }

@group(0) @binding(0) var<storage, read_write> scores: array<elem>;
@group(0) @binding(1) var<storage, read> answers: array<elem>;
@group(0) @binding(2) var<storage, read> labels: array<elem>;
@group(0) @binding(3) var<storage, read> named: array<u32>;
@group(0) @binding(4) var<storage, read> expert: array<u32>;
@group(0) @binding(5) var<uniform> p: Params;

@compute @workgroup_size(WG)
fn rollout_score(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) t: u32) {
  let i = (wid.x + wid.y * nwg.x) * WG + t;
  if (i >= p.n) { return; }
  let stated = f32(answers[2u * i]);
  let y = f32(labels[i]);
  var classification = log(p.floor);
  var attention = 0.0;
  let parsed = stated >= 0.0;
  if (parsed) {
    let q = clamp(stated, p.floor, 1.0 - p.floor);
    classification = log(y * q + (1.0 - y) * (1.0 - q));
    if ((y - 0.5) * (q - 0.5) > 0.0) { classification += p.beta * abs(q - 0.5); }
    var both = 0u;
    var either = 0u;
    for (var word = 0u; word < p.words; word++) {
      let c = named[i * p.words + word];
      let e = expert[i * p.words + word];
      both += countOneBits(c & e);
      either += countOneBits(c | e);
    }
    let size = f32(either) + f32(answers[2u * i + 1u]);
    if (size > 0.0) { attention = f32(both) / size; }
  }
  scores[4u * i] = elem(p.weight_classification * classification + p.weight_attention * attention);
  scores[4u * i + 1u] = elem(classification);
  scores[4u * i + 2u] = elem(attention);
  scores[4u * i + 3u] = elem(select(0.0, 1.0, parsed));
}
