/** A result must be right before it is timed. */
import type { HostArray, KernelEntry } from '@eagrl/kernels';

/**
 * Relative root-mean-square error against the f64 reference that a result may have: between the loosest (1e-4, per element) and the
 * tightest (1e-6) tolerance of the kernels' tests; f32 sums of a thousand products, in any order, stay near 1e-6.
 */
export const MAX_REL_ERR = 1e-5;

export interface Verdict {
  /** Of the worst f32 output; 0 when all outputs are integers. */
  readonly relErr: number;
  /** What is wrong, in words; undefined when the result is right. */
  readonly wrong?: string;
}

/** What was `got`, f32 by relative RMS (NaN only where the reference has it), integers by equality. @throws Error when nothing was. */
export function check(entry: KernelEntry, got: Readonly<Record<string, HostArray>>, want: Readonly<Record<string, Float64Array>>): Verdict {
  let relErr = 0;
  let wrong: string | undefined;
  const given = entry.bindings.filter((b) => b.access !== 'read' && b.name in got);
  if (given.length === 0) throw new Error(`no output to check among ${Object.keys(got).join(', ') || 'none'}`);
  for (const { name, dtype } of given) {
    const [g, w] = [got[name], want[name]];
    if (g.length < w.length) wrong ??= `${name}: ${g.length} elements instead of ${w.length}`;
    else if (dtype === 'f32') {
      const error = relativeRms(g, w);
      if (!(error <= relErr)) relErr = error;
      if (!(error <= MAX_REL_ERR)) wrong ??= `${name}: relative RMS error ${error.toExponential(2)}, at most ${MAX_REL_ERR}`;
    } else {
      const off = w.reduce((n, v, i) => n + Number(v !== g[i]), 0);
      if (off > 0) wrong ??= `${name}: ${off} of ${w.length} integers differ`;
    }
  }
  return { relErr, wrong };
}

/** sqrt(sum (got - want)^2 / sum want^2); 0 when all are equal. */
export function relativeRms(got: ArrayLike<number>, want: ArrayLike<number>): number {
  let num = 0;
  let den = 0;
  for (let i = 0; i < want.length; i++) {
    if (Object.is(got[i], want[i])) {
      if (Number.isFinite(want[i])) den += want[i] ** 2;
      continue;
    }
    num += (got[i] - want[i]) ** 2;
    den += want[i] ** 2;
  }
  return num === 0 ? 0 : Math.sqrt(num / Math.max(den, Number.MIN_VALUE));
}
