alias elem = f32;
//!use common/block_reduce.wgsl
// DeCov, the decorrelation penalty: per token, with C = xc^T xc / (B - 1) the covariance of its channels over the batch,
//   loss = 1/2 (||C||_F^2 - ||diag C||^2),  dloss/dx = 2 / (B - 1) xc Co,  Co = C without its diagonal.
// (xc has columns of mean 0, so the gradient through the mean vanishes.) The two products are matmuls; these entries are what is left:
// decov_center: xc[s,b,c] = x[s,b,c] - mean_b x[s,b,c], one thread per column of a token.
// decov_loss: losses[s] from cov (S, D, D), whose diagonal becomes 0; one workgroup per token.

const WG: u32 = 64u;

struct CenterParams { tokens: u32, batch: u32, channels: u32 }

@group(0) @binding(0) var<storage, read_write> xc: array<elem>;
@group(0) @binding(1) var<storage, read> x: array<elem>;
@group(0) @binding(2) var<uniform> pc: CenterParams;

@compute @workgroup_size(WG)
fn decov_center(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) t: u32) {
  let n = (wid.x + wid.y * nwg.x) * WG + t;
  if (n >= pc.tokens * pc.channels) { return; }
  let base = n / pc.channels * pc.batch * pc.channels + n % pc.channels;
  var sum = 0.0;
  for (var b = 0u; b < pc.batch; b++) { sum += f32(x[base + b * pc.channels]); }
  let mean = sum / f32(pc.batch);
  for (var b = 0u; b < pc.batch; b++) { xc[base + b * pc.channels] = elem(f32(x[base + b * pc.channels]) - mean); }
}

struct LossParams { tokens: u32, channels: u32 }

@group(0) @binding(0) var<storage, read_write> losses: array<elem>;
@group(0) @binding(1) var<storage, read_write> cov: array<elem>;
@group(0) @binding(2) var<uniform> pl: LossParams;

@compute @workgroup_size(WG)
fn decov_loss(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) t: u32) {
  let s = wid.x + wid.y * nwg.x;
  if (s >= pl.tokens) { return; }
  let n = pl.channels * pl.channels;
  var sum = 0.0;
  for (var i = t; i < n; i += WG) {
    if (i % (pl.channels + 1u) == 0u) {
      cov[s * n + i] = elem(0.0);
    } else {
      sum += f32(cov[s * n + i]) * f32(cov[s * n + i]);
    }
  }
  sum = block_sum(sum, t);
  if (t == 0u) { losses[s] = elem(0.5 * sum); }
}
