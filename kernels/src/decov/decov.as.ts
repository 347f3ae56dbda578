// The parts of DeCov that are not matmuls; formulas in decov.wgsl. One work item per token.
import { hsum4 } from '../common/simd.as';

// @ts-ignore: decorator
@inline
function at(base: usize, index: usize): usize {
  return base + (index << 2);
}

export function decov_center(xc: usize, x: usize, tokens: i32, batch: i32, channels: i32, lo: i32, hi: i32): void {
  const vec = channels & ~3;
  const scale: f32 = 1 / <f32>batch;
  for (let s = lo; s < hi; s++) {
    const base = <usize>s * batch * channels;
    for (let c = 0; c < vec; c += 4) {
      let sum = f32x4.splat(0);
      for (let b = 0; b < batch; b++) sum = f32x4.add(sum, v128.load(at(x, base + <usize>b * channels + c)));
      const mean = f32x4.mul(sum, f32x4.splat(scale));
      for (let b = 0; b < batch; b++) {
        const o = base + <usize>b * channels + c;
        v128.store(at(xc, o), f32x4.sub(v128.load(at(x, o)), mean));
      }
    }
    for (let c = vec; c < channels; c++) {
      let sum: f32 = 0;
      for (let b = 0; b < batch; b++) sum += load<f32>(at(x, base + <usize>b * channels + c));
      for (let b = 0; b < batch; b++) {
        const o = base + <usize>b * channels + c;
        store<f32>(at(xc, o), load<f32>(at(x, o)) - sum * scale);
      }
    }
  }
}

export function decov_loss(losses: usize, cov: usize, tokens: i32, channels: i32, lo: i32, hi: i32): void {
  const n = channels * channels;
  const vec = n & ~3;
  for (let s = lo; s < hi; s++) {
    const base = at(cov, <usize>s * n);
    for (let c = 0; c < channels; c++) store<f32>(at(base, <usize>c * (channels + 1)), 0);
    let sum4 = f32x4.splat(0);
    for (let i = 0; i < vec; i += 4) {
      const v = v128.load(at(base, i));
      sum4 = f32x4.add(sum4, f32x4.mul(v, v));
    }
    let sum = hsum4(sum4);
    for (let i = vec; i < n; i++) sum += load<f32>(at(base, i)) * load<f32>(at(base, i));
    store<f32>(at(losses, s), <f32>0.5 * sum);
  }
}
