alias elem = f32;
// Gate over n elements: g = 1 / (1 + exp(-z)), y = x g;   dx = dy g,  dz = dy x g (1 - g).
// One thread per element. g is an output, so that backward needs no exp.

const WG: u32 = 256u;

struct Params { n: u32 }

@group(0) @binding(0) var<storage, read_write> y: array<elem>;
@group(0) @binding(1) var<storage, read_write> g: array<elem>;
@group(0) @binding(2) var<storage, read> x: array<elem>;
@group(0) @binding(3) var<storage, read> z: array<elem>;
@group(0) @binding(4) var<uniform> p: Params;

@compute @workgroup_size(WG)
fn gate_fwd(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) t: u32) {
  let i = (wid.x + wid.y * nwg.x) * WG + t;
  if (i >= p.n) { return; }
  // exp(80) is finite; sigmoid(-80) = 2e-35 is as good as zero.
  let s = 1.0 / (1.0 + exp(-max(f32(z[i]), -80.0)));
  g[i] = elem(s);
  y[i] = elem(f32(x[i]) * s);
}

@group(0) @binding(0) var<storage, read_write> dx: array<elem>;
@group(0) @binding(1) var<storage, read_write> dz: array<elem>;
@group(0) @binding(2) var<storage, read> dy: array<elem>;
@group(0) @binding(3) var<storage, read> x_saved: array<elem>;
@group(0) @binding(4) var<storage, read> g_saved: array<elem>;
@group(0) @binding(5) var<uniform> pb: Params;

@compute @workgroup_size(WG)
fn gate_bwd(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) t: u32) {
  let i = (wid.x + wid.y * nwg.x) * WG + t;
  if (i >= pb.n) { return; }
  let s = f32(g_saved[i]);
  let d = f32(dy[i]) * s;
  dx[i] = elem(d);
  dz[i] = elem(d * f32(x_saved[i]) * (1.0 - s));
}
