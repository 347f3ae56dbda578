/** f64 oracle of the rollout reward; formula in rollout_score.wgsl. */
type Buffers = Record<string, Float64Array>;
interface Shape {
  n: number;
  words: number;
  weight_classification: number;
  weight_attention: number;
  beta: number;
  floor: number;
}

const bits = (word: number) => (word >>> 0).toString(2).split('1').length - 1;

export function rollout_score(
  { scores, answers, labels, named, expert }: Buffers,
  { n, words, weight_classification: w, weight_attention: v, beta, floor }: Shape,
): void {
  for (let i = 0; i < n; i++) {
    const [stated, unknown] = [answers[2 * i], answers[2 * i + 1]];
    const y = labels[i];
    if (stated < 0) {
      scores.set([w * Math.log(floor), Math.log(floor), 0, 0], 4 * i);
      continue;
    }
    const p = Math.min(Math.max(stated, floor), 1 - floor);
    const right = y === 1 ? p > 0.5 : p < 0.5;
    const classification = Math.log(y * p + (1 - y) * (1 - p)) + (right ? beta * Math.abs(p - 0.5) : 0);
    let both = 0;
    let size = unknown;
    for (let w = i * words; w < (i + 1) * words; w++) {
      both += bits(named[w] & expert[w]);
      size += bits(named[w] | expert[w]);
    }
    const attention = size > 0 ? both / size : 0;
    scores.set([w * classification + v * attention, classification, attention, 1], 4 * i);
  }
}
