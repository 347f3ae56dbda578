// Reward of a rollout; formula and layouts in rollout_score.wgsl. One work item per rollout.
import { log1 } from '../common/simd.as';

// @ts-ignore: decorator
@inline
function at(base: usize, index: usize): usize {
  return base + (index << 2);
}

export function rollout_score(
  scores: usize, answers: usize, labels: usize, named: usize, expert: usize,
  n: i32, words: i32, weight_classification: f32, weight_attention: f32, beta: f32, floor: f32, lo: i32, hi: i32,
): void {
  for (let i = lo; i < hi; i++) {
    const stated = load<f32>(at(answers, <usize>2 * i));
    const y = load<f32>(at(labels, i));
    let classification = log1(floor);
    let attention: f32 = 0;
    if (stated >= 0) {
      const q = min(max(stated, floor), <f32>1 - floor);
      classification = log1(y * q + (<f32>1 - y) * (<f32>1 - q));
      if ((y - <f32>0.5) * (q - <f32>0.5) > 0) classification += beta * abs(q - <f32>0.5);
      let both: u32 = 0, either: u32 = 0;
      for (let word = 0; word < words; word++) {
        const c = load<u32>(at(named, <usize>i * words + word)), e = load<u32>(at(expert, <usize>i * words + word));
        both += popcnt<u32>(c & e);
        either += popcnt<u32>(c | e);
      }
      const size: f32 = <f32>either + load<f32>(at(answers, <usize>2 * i + 1));
      if (size > 0) attention = <f32>both / size;
    }
    const out = at(scores, <usize>4 * i);
    store<f32>(out, weight_classification * classification + weight_attention * attention);
    store<f32>(out, classification, 4);
    store<f32>(out, attention, 8);
    store<f32>(out, stated >= 0 ? 1 : 0, 12);
  }
}
