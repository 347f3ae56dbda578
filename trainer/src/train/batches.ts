/** Which examples each optimiser step sees: a function of (seed, phase, step) alone, so a resumed run sees the same. */
import { Rng } from '../data/rng.ts';

/** Indices of step `step` when `numExamples` are shuffled anew each epoch and cut into batches; the last batch of an epoch may be short. */
export function epochBatch(seed: number, phase: string, numExamples: number, batchSize: number, step: number): number[] {
  const perEpoch = stepsPerEpoch(numExamples, batchSize);
  const epoch = Math.floor(step / perEpoch);
  const order = new Rng(seed, `${phase} epoch ${epoch}`).shuffle(Array.from({ length: numExamples }, (_, i) => i));
  const at = (step % perEpoch) * batchSize;
  return order.slice(at, at + batchSize);
}

export const stepsPerEpoch = (numExamples: number, batchSize: number): number => Math.ceil(numExamples / batchSize);

/**
 * Indices of the prompts of one policy-optimisation step. With `balance`, half of them positives and half negatives, each class
 * walked through in its own shuffled order, so that the rarer class comes round more often.
 */
export function promptBatch(seed: number, labels: readonly (0 | 1)[], size: number, step: number, balance: boolean): number[] {
  const all = labels.map((_, i) => i);
  if (!balance) return walk(seed, 'rl prompts', all, size, step);
  const positives = all.filter((i) => labels[i] === 1);
  const negatives = all.filter((i) => labels[i] === 0);
  const half = Math.floor(size / 2);
  // An odd size alternates which class gets the extra prompt.
  const extra = size % 2;
  const before = Math.floor(step / 2) * extra;
  const [p, n] = step % 2 === 0 ? [half + extra, half] : [half, half + extra];
  const startP = step * half + before + (step % 2 === 0 ? 0 : extra);
  const startN = step * half + before;
  const a = walkFrom(seed, 'rl positives', positives, p, startP);
  const b = walkFrom(seed, 'rl negatives', negatives, n, startN);
  return Array.from({ length: size }, (_, i) => (i % 2 === 0 ? (a.shift() ?? b.shift()) : (b.shift() ?? a.shift()))) as number[];
}

const walk = (seed: number, name: string, items: readonly number[], size: number, step: number) =>
  walkFrom(seed, name, items, size, step * size);

/** `count` items from position `start` of an endless sequence of shuffles of `items`. */
function walkFrom(seed: number, name: string, items: readonly number[], count: number, start: number): number[] {
  const out: number[] = [];
  for (let at = start; out.length < count; at++) {
    const epoch = Math.floor(at / items.length);
    const order = shuffled(seed, `${name} ${epoch}`, items);
    out.push(order[at % items.length]);
  }
  return out;
}

const shuffled = (seed: number, name: string, items: readonly number[]) => new Rng(seed, name).shuffle(items.slice());
