import type { Tolerance } from './tolerance.ts';

type Numbers = ArrayLike<number>;

export interface CloseOptions extends Tolerance {
  readonly label?: string;
}

/** Root-mean-square error over root-mean-square of `want`; 0 when both are all zero. */
export function relRms(got: Numbers, want: Numbers): number {
  let num = 0;
  let den = 0;
  for (let i = 0; i < want.length; i++) {
    num += (got[i] - want[i]) ** 2;
    den += want[i] ** 2;
  }
  return num === 0 ? 0 : Math.sqrt(num / Math.max(den, Number.MIN_VALUE));
}

/**
 * Every element within abs + rel |want|; NaN and infinities must stand in the same places. Returns the share of the tolerance
 * that the worst element used (0..1) and throws with count, worst index, both values when it is above 1.
 */
export function assertClose(got: Numbers, want: Numbers, { rel, abs, label = 'value' }: CloseOptions): number {
  if (got.length !== want.length) throw new Error(`${label}: ${got.length} elements, expected ${want.length}`);
  let worst = 0;
  let at = -1;
  let bad = 0;
  for (let i = 0; i < want.length; i++) {
    const g = got[i];
    const w = want[i];
    const same = Object.is(g, w) || g === w || (Number.isNaN(g) && Number.isNaN(w));
    const used = same
      ? 0
      : Number.isFinite(g) && Number.isFinite(w)
        ? Math.abs(g - w) / (abs + rel * Math.abs(w))
        : Number.POSITIVE_INFINITY;
    if (used > 1) bad++;
    if (used > worst) {
      worst = used;
      at = i;
    }
  }
  if (bad > 0) {
    throw new Error(
      `${label}: ${bad} of ${want.length} elements off; worst at ${at}: got ${got[at]}, expected ${want[at]} ` +
        `(${(worst * 100).toFixed(0)} % of tolerance rel ${rel} abs ${abs}); relative RMS ${relRms(got, want).toExponential(2)}`,
    );
  }
  return worst;
}
