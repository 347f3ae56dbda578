/** Learning rate over a run, as a multiple of the peak rate: linear warm-up from 0, then the named decay to 0 (constant: none). */
export const SCHEDULES = ['constant', 'linear', 'cosine'] as const;
export type Schedule = (typeof SCHEDULES)[number];

/**
 * Learning rate of step `step` (0-based) of `totalSteps`. Warm-up takes ceil(warmupRatio totalSteps) steps; with a warm-up the
 * first step has rate 0, as in Hugging Face's schedules.
 */
export function learningRate(kind: Schedule, peak: number, step: number, totalSteps: number, warmupRatio = 0): number {
  const warmup = Math.ceil(warmupRatio * totalSteps);
  if (step < warmup) return (peak * step) / warmup;
  if (kind === 'constant') return peak;
  const progress = Math.min(1, (step - warmup) / Math.max(1, totalSteps - warmup));
  return kind === 'linear' ? peak * (1 - progress) : peak * 0.5 * (1 + Math.cos(Math.PI * progress));
}
