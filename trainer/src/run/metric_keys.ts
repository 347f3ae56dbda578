/**
 * Every key a run may log, with its formula. METRICS.md is this table in prose order (a test keeps them equal), and the logger
 * refuses any other key. Names are TRL's; `<name>`, `<dataset>`, `<task>` stand for one path part.
 */
export const METRIC_KEYS: Readonly<Record<string, string>> = {
  loss: 'what the optimiser minimised: SFT -mean log-prob over the target tokens of the step; RL policy_loss + beta times the KL of each token, weighted alike; expert bce_loss + decov * decov_loss',
  policy_loss:
    '-mean over completion tokens (loss_type grpo: over completions of their token means) of min(r A, clip(r, 1 - epsilon, 1 + epsilon_high) A), r = pi / pi_old; mean over the updates of the step',
  bce_loss: 'mean over patients of -(y log p + (1 - y) log(1 - p))',
  decov_loss: '1/2 (||C||_F^2 - ||diag C||^2), C = channel covariance over the batch, summed over tokens',
  val_auroc: 'AUROC of the expert on the validation split after the epoch',
  reward: 'mean R over the completions of the step',
  reward_std: 'mean over prompts of the standard deviation of R within the group',
  frac_reward_zero_std: 'share of groups whose rewards are all equal: they teach nothing',
  'rewards/<name>/mean': 'mean of one part of the reward (classification, attention; overlong where `rl.soft_punish_cache` is on)',
  'rewards/<name>/std': 'standard deviation of one part of the reward',
  kl: 'mean over completion tokens of exp(d) - d - 1, d = log pi_ref - log pi, pi_ref the policy before Stage 2; only where `rl.beta` is above 0',
  entropy: 'mean over completion tokens of -sum_v pi(v) log pi(v), in nats',
  grad_norm: 'L2 norm of all gradients together, before clipping',
  learning_rate: 'of the step just taken',
  epoch: 'passes over the train set so far',
  num_tokens: 'tokens the model was trained on so far',
  step_time: 'seconds of the whole step',
  'clip_ratio/low_mean': 'share of completion tokens with r < 1 - epsilon and A < 0',
  'clip_ratio/low_min': 'smallest such share of an update of the step',
  'clip_ratio/high_mean': 'share of completion tokens with r > 1 + epsilon_high and A > 0',
  'clip_ratio/high_max': 'largest such share of an update of the step',
  'clip_ratio/region_mean': 'share of completion tokens clipped either way',
  'completions/mean_length': 'mean tokens per completion',
  'completions/min_length': 'tokens of the shortest completion',
  'completions/max_length': 'tokens of the longest completion',
  'completions/clipped_ratio': 'share of completions that reached max_completion_length without an end token',
  'sampling/sampling_logp_difference/mean':
    'mean |log pi of training - log pi of sampling| over completion tokens, before the first update',
  'sampling/sampling_logp_difference/max': 'largest such difference',
  'time/generate': 'seconds of the step spent generating',
  'time/logprob': 'seconds of the step spent on log-probs of the old or the reference policy',
  'time/forward_backward': 'seconds of the step spent in forward, backward and optimiser',
  'perf/throughput': 'tokens trained on per second of step_time',
  'perf/peak_memory': 'largest resident set of the process so far, bytes',
  'eagrl/epsilon_high/mean': 'mean over completions of the adaptive upper clip e_min + (e_max - e_min)(H - H_min) / (H_max - H_min)',
  'eagrl/epsilon_high/min': 'smallest upper clip of the step',
  'eagrl/epsilon_high/max': 'largest upper clip of the step',
  'eagrl/feature_entropy/mean': 'mean over completions of H, the mean entropy of pi_old on the tokens naming important features, nats',
  'eagrl/feature_entropy/min': 'H_min of the step',
  'eagrl/feature_entropy/max': 'H_max of the step',
  'eagrl/jaccard/mean': 'mean over completions of |C n C_exp| / |C u C_exp|',
  'eagrl/parse_failure_rate': 'share of completions without a readable probability',
  'mcts/simulations': 'simulations run so far, over all trees',
  'mcts/nodes': 'mean nodes per tree',
  'mcts/depth_mean': 'mean depth of terminal nodes',
  'mcts/terminal_rate': 'share of simulations that ended in a terminal node',
  'mcts/value_mean': 'mean over trees of the best back-propagated value',
  'mcts/kept_trajectories': 'trajectories kept by the filter so far',
  'mcts/seconds_per_case': 'seconds of search / patients searched',
  'eval/<dataset>/<task>/auroc': 'P(score of a positive > score of a negative) + 1/2 P(equal)',
  'eval/<dataset>/<task>/auprc': 'average precision, tied scores grouped',
  'eval/<dataset>/<task>/minpse': 'largest min(precision, recall) over thresholds',
  'eval/<dataset>/<task>/f1': 'F1 with p > 0.5 called positive',
  'eval/<dataset>/<task>/brier': 'mean (p - y)^2',
  'eval/<dataset>/<task>/ece': 'sum over 10 equal-width bins of n_b / n |mean p - mean y|',
  nan_count: 'values of this record that were NaN or infinite; they are written as null',
};

/** Bootstrap statistics every `eval/` metric may carry as a suffix. */
export const EVAL_SUFFIXES = ['_std', '_lower', '_upper'] as const;

const part = '[A-Za-z0-9_.-]+';
const patterns = Object.keys(METRIC_KEYS).map((key) => {
  const suffix = key.startsWith('eval/') ? `(${EVAL_SUFFIXES.join('|')})?` : '';
  return new RegExp(`^${key.replace(/<\w+>/g, part)}${suffix}$`);
});

export function isMetricKey(key: string): boolean {
  return patterns.some((pattern) => pattern.test(key));
}
