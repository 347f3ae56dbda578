/** Rewards of a group whose sample std is below this count as equal. */
export const EQUAL_REWARDS = 1e-6;

/**
 * Group-relative advantages: A_i = (R_i - mean of its group) / (std of its group + 1e-6), groups of `numGenerations`
 * consecutive rewards. The std is the sample std (n - 1), as TRL computes it. `scale` false leaves the division out.
 * @throws when the rewards are not whole groups of at least two.
 */
export function groupAdvantages(rewards: readonly number[], numGenerations: number, scale = true): Float32Array {
  if (numGenerations < 2 || rewards.length % numGenerations !== 0) {
    throw new Error(`groupAdvantages: ${rewards.length} rewards are not whole groups of ${numGenerations} (at least 2)`);
  }
  const advantages = new Float32Array(rewards.length);
  for (let at = 0; at < rewards.length; at += numGenerations) {
    const { mean, std } = meanAndStd(rewards.slice(at, at + numGenerations));
    for (let i = at; i < at + numGenerations; i++) advantages[i] = (rewards[i] - mean) / (scale ? std + 1e-6 : 1);
  }
  return advantages;
}

/** Mean and sample standard deviation (n - 1). */
export function meanAndStd(values: readonly number[]): { mean: number; std: number } {
  const mean = values.reduce((a, b) => a + b, 0) / values.length;
  const variance = values.reduce((a, b) => a + (b - mean) ** 2, 0) / Math.max(1, values.length - 1);
  return { mean, std: Math.sqrt(variance) };
}

/**
 * Which groups DAPO's dynamic sampling keeps (arXiv 2503.14476, section 3.2): those whose rewards differ. The paper, with rewards of
 * 0 and 1, drops groups that are all right or all wrong; with ours the like is a sample std below 1e-6.
 */
export function informativeGroups(rewards: readonly number[], numGenerations: number): boolean[] {
  return Array.from({ length: rewards.length / numGenerations }, (_, g) => {
    return meanAndStd(rewards.slice(g * numGenerations, (g + 1) * numGenerations)).std >= EQUAL_REWARDS;
  });
}
