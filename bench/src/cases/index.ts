import type { BenchCase } from '../lib/case.ts';
import { expert } from './expert.ts';
import { frozen } from './frozen.ts';
import { models } from './models.ts';
import { policy } from './policy.ts';
import { training } from './training.ts';

/** Every entry point of every kernel at least once (a test says so), by kernel. */
export const cases: readonly BenchCase[] = [...policy, ...frozen, ...models, ...training, ...expert].sort((a, b) =>
  a.spec.name.localeCompare(b.spec.name),
);
