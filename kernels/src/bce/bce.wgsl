alias elem = f32;
// Binary cross-entropy from logits, loss, gradient and probability in one pass:
//   losses = w (max(z, 0) - z y + log(1 + e^-|z|)),  dlogits = w (sigmoid(z) - y),  probabilities = sigmoid(z).
// dlogits is the gradient of the sum of losses; a mean is a weight of 1/n. All (n); one thread per element.

const WG: u32 = 64u;

struct Params { n: u32 }

@group(0) @binding(0) var<storage, read_write> losses: array<elem>;
@group(0) @binding(1) var<storage, read_write> dlogits: array<elem>;
@group(0) @binding(2) var<storage, read_write> probabilities: array<elem>;
@group(0) @binding(3) var<storage, read> logits: array<elem>;
@group(0) @binding(4) var<storage, read> labels: array<elem>;
@group(0) @binding(5) var<storage, read> weights: array<elem>;
@group(0) @binding(6) var<uniform> p: Params;

@compute @workgroup_size(WG)
fn bce_logits(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) t: u32) {
  let i = (wid.x + wid.y * nwg.x) * WG + t;
  if (i >= p.n) { return; }
  let z = f32(logits[i]);
  let y = f32(labels[i]);
  let w = f32(weights[i]);
  let e = exp(-abs(z));
  let s = select(e, 1.0, z >= 0.0) / (1.0 + e);
  losses[i] = elem(w * (max(z, 0.0) - z * y + log(1.0 + e)));
  dlogits[i] = elem(w * (s - y));
  probabilities[i] = elem(s);
}
