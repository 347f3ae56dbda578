/** f64 oracle of DeCov; formulas in decov.wgsl. */
type Buffers = Record<string, Float64Array>;

export function decov_center({ xc, x }: Buffers, { tokens, batch, channels }: { tokens: number; batch: number; channels: number }): void {
  for (let s = 0; s < tokens; s++) {
    for (let c = 0; c < channels; c++) {
      let sum = 0;
      for (let b = 0; b < batch; b++) sum += x[(s * batch + b) * channels + c];
      for (let b = 0; b < batch; b++) xc[(s * batch + b) * channels + c] = x[(s * batch + b) * channels + c] - sum / batch;
    }
  }
}

export function decov_loss({ losses, cov }: Buffers, { tokens, channels }: { tokens: number; channels: number }): void {
  for (let s = 0; s < tokens; s++) {
    losses[s] = 0;
    for (let i = 0; i < channels; i++) {
      for (let j = 0; j < channels; j++) {
        const at = (s * channels + i) * channels + j;
        if (i === j) cov[at] = 0;
        else losses[s] += 0.5 * cov[at] ** 2;
      }
    }
  }
}
