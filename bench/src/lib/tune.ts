/** `--tune`: measures the variants of the table's kernels on one WebGPU device and saves the choice. */
import { entryOf } from '@eagrl/kernels';
import { type Backend, saveTuning, type TunedShape, type Tuning, tune } from '@eagrl/runtime';
import type { BenchCase } from './case.ts';

/** Whether its entry has variants to choose from, and any numbers will do as inputs. */
export function tunable({ spec, entry }: BenchCase): boolean {
  const { variants = [], bindings } = entryOf(spec, entry);
  return variants.some((v) => !v.alone) && bindings.every((b) => b.dtype === 'f32');
}

/** `matmul_nt 512x704x256x1  quad  quad 1.20  default 1.61` and so on, milliseconds, fastest first. */
export function tunedLine({ key, variant, ms, wrong }: TunedShape): string {
  const times = Object.entries(ms).sort((a, b) => a[1] - b[1]);
  const said = times.map(([name, t]) => `${name} ${t.toPrecision(3)}`).join('  ');
  return `${key.padEnd(30)}${variant.padEnd(14)}${said}${wrong.length > 0 ? `  WRONG: ${wrong.join(', ')}` : ''}`;
}

/** One line per shape, then where the choice was saved. */
export async function tuneCases(
  backend: Backend,
  cases: readonly BenchCase[],
  seconds: number,
  print: (line: string) => void,
): Promise<Tuning> {
  const made = await tune(backend, cases, 1e3 * seconds);
  for (const shape of made.shapes) print(tunedLine(shape));
  print(`tuning of ${made.adapter}: ${await saveTuning(made)}`);
  return made;
}
