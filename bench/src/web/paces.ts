/** How much the page is asked for, as `--quick` and `--full` say it to the command. */
import { cases } from '../cases/index.ts';
import type { BenchCase } from '../lib/case.ts';
import { type Budget, FULL, NORMAL, QUICK } from '../lib/time.ts';

export const PACES = {
  quick: { budget: QUICK, sets: [undefined] },
  normal: { budget: NORMAL, sets: [undefined, 'normal'] },
  full: { budget: FULL, sets: [undefined, 'normal', 'full'] },
} as const satisfies Record<string, { readonly budget: Budget; readonly sets: readonly BenchCase['from'][] }>;

export type Pace = keyof typeof PACES;

export const casesAt = (pace: Pace): BenchCase[] => cases.filter(({ from }) => PACES[pace].sets.some((s) => s === from));
