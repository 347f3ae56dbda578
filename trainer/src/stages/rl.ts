/**
 * Stage 2: attention-aligned policy optimisation.
 *
 * Paper: EAG-RL (arXiv 2508.13579), Stage 2. Group of G rollouts per prompt from pi_old, group-relative advantages, token-level
 * clipped ratio whose upper bound grows with the policy's uncertainty while it names the important features.
 * Kept: reward, adaptive upper clip, token mean. Ours where the paper is silent: G, eps_low, rates (trainer/PAPER.md).
 * Command: eagrl rl --config configs/demo.yaml
 */
import { type AdamW, clipRange as clipRangeOp, learningRate } from '@eagrl/runtime';
import type { Config } from '../config/schema.ts';
import { answerStops, generate, type Policy, promptTokens, type Rollout } from '../policy.ts';
import { EQUAL_REWARDS, groupAdvantages, informativeGroups, meanAndStd } from '../rewards/advantages.ts';
import { overlongPenalty } from '../rewards/rewards.ts';
import type { Task } from '../tasks/task.ts';
import { featureTokenMask, parseAnswer } from '../text/answer.ts';
import { promptBatch } from '../train/batches.ts';
import { completionLogprobs } from '../train/logprobs.ts';
import { type RlBatch, type RlStepResult, rlStep } from '../train/rl_step.ts';
import { rehearseGeneration } from './ahead.ts';
import type { ExpertFeatures } from './evaluate.ts';
import { type ScoreRow, scoreAnswersOnDevice } from './score.ts';
import { type StepReport, type TrainingRun, trainLoop } from './train_loop.ts';

/** Streams per (step, prompt): room for the completions of one prompt. */
const STREAMS_PER_PROMPT = 4096;

/** What the KL term asks of the frozen policy. */
export type Reference = Pick<Policy, 'ctx' | 'model'>;

export interface RlInputs {
  readonly policy: Policy;
  /** Frozen Stage-1 policy; needed when config.rl.beta > 0. */
  readonly reference?: Reference;
  readonly task: Task;
  readonly expertFeatures: ExpertFeatures;
  readonly config: Config;
  readonly run: TrainingRun;
  /** Told of the rollouts of each step (from 1), rewards included. */
  readonly onRollouts?: (step: number, rollouts: readonly ScoredRollout[]) => void;
}

/** One rollout of a step, as it was trained on. */
export interface ScoredRollout {
  readonly patientId: string;
  readonly text: string;
  readonly numTokens: number;
  readonly parsed: boolean;
  readonly reward: number;
  readonly classification: number;
  readonly attention: number;
  readonly advantage: number;
  readonly clipHigh: number;
}

/**
 * Hands the policy as it stands over, frozen, where the loss has a KL term (`rl.beta` above 0): before training goes on from a checkpoint,
 * which changes the policy. Beside an adapter its weights are
 * shared.
 */
export async function withReference<T>({ ctx, model }: Policy, { rl }: Config, work: (reference?: Reference) => Promise<T>): Promise<T> {
  if (rl.beta === 0) return work();
  const frozen = model.snapshot();
  try {
    return await work({ ctx, model: frozen });
  } finally {
    frozen.destroy();
  }
}

/** Trains `policy` in place for `rl.max_steps` steps, from the last checkpoint if there is one. */
export async function trainRl(inputs: RlInputs): Promise<void> {
  const { policy, task, config, run } = inputs;
  const rl = config.rl;
  if (rl.num_iterations * rl.mini_batches === 1) {
    run.warn('rl: one update per batch of rollouts: the ratio is always 1 and no clip acts; raise rl.num_iterations or rl.mini_batches');
  }
  if (rl.beta > 0 && !inputs.reference) throw new Error('rl: beta above 0 needs the frozen reference policy');

  // ---------------------------------------------------------------- setup
  const prompts = Array.from({ length: task.numExamples('train') }, (_, i) => {
    const example = task.getExample('train', i);
    return { id: example.id, label: example.label, tokens: promptTokens(policy, example.prompt) };
  });
  const options = { weightDecay: rl.weight_decay, maxGradNorm: rl.max_grad_norm };
  await trainLoop(
    policy,
    run,
    rl.max_steps,
    options,
    (step, optimizer) => takeStep(inputs, prompts, step, optimizer),
    (shadow, optimizer) => rehearse(inputs, prompts, shadow, optimizer),
  );
}

/** The first step on a policy that computes nothing (ahead.ts), with completions of full length that nobody sampled; no one hears of it. */
async function rehearse(inputs: RlInputs, prompts: readonly TrainPrompt[], shadow: Policy, optimizer: AdamW): Promise<void> {
  const { config, reference, run } = inputs;
  const {
    prompts_per_step,
    num_generations: numGenerations,
    max_completion_length: maxTokens,
    temperature,
    top_k: topK,
    top_p: topP,
  } = config.rl;
  const lengths = prompts.slice(0, prompts_per_step).map(({ tokens }) => tokens.length);
  await rehearseGeneration(shadow, { prompts: lengths, maxTokens, numGenerations, sampling: { temperature, topK, topP } });
  const rollout = {
    tokens: new Uint32Array(maxTokens),
    logprobs: new Float32Array(maxTokens),
    entropies: new Float32Array(maxTokens),
    text: '',
    stopped: false,
  };
  const shown = { ...inputs, policy: shadow, reference: reference && shadow, run: { ...run, warn() {} }, onRollouts: undefined };
  const complete: Complete = async (chosen) => chosen.map(() => Array.from({ length: numGenerations }, () => rollout));
  await takeStep(shown, prompts, 0, optimizer, complete);
}

/** The completions of some prompts, those of a prompt side by side. `draw`: see sampleGroups. */
type Complete = (chosen: readonly TrainPrompt[], draw: number) => Promise<Rollout[][]>;

async function takeStep(
  inputs: RlInputs,
  prompts: readonly TrainPrompt[],
  step: number,
  optimizer: AdamW,
  complete: Complete = sampledBy(inputs),
): Promise<StepReport> {
  const { policy, config, run } = inputs;
  const rl = config.rl;
  const started = performance.now();
  // -------------------------------------------------------------- collect and score
  const sampled: ScoredGroup[] = [];
  const taken: ScoredGroup[] = [];
  let generateSeconds = 0;
  for (let round = 0; round < Math.max(1, rl.dynamic_sampling) && taken.length < rl.prompts_per_step; round++) {
    const { groups, seconds } = await sampleGroups(
      inputs,
      prompts,
      step + round * rl.max_steps,
      rl.prompts_per_step - taken.length,
      complete,
    );
    generateSeconds += seconds;
    const keep = informativeGroups(
      groups.flatMap((g) => g.rewards),
      rl.num_generations,
    );
    sampled.push(...groups);
    taken.push(...groups.filter((_, i) => rl.dynamic_sampling === 0 || keep[i]));
  }
  if (taken.length === 0) {
    run.warn(
      `rl: every group of step ${step + 1} has equal rewards, in ${rl.dynamic_sampling} rounds of sampling; the step teaches nothing`,
    );
    taken.push(...sampled.slice(0, rl.prompts_per_step));
  }
  const owners = taken.flatMap((g) => g.rollouts.map(() => g.prompt));
  const rollouts = taken.flatMap((g) => g.rollouts);
  const scores = taken.flatMap((g) => g.scores);
  const rewards = taken.flatMap((g) => g.rewards);
  const advantages = groupAdvantages(rewards, rl.num_generations, rl.scale_rewards);
  const clip = await clipRange(policy, rollouts, rl);

  inputs.onRollouts?.(
    step + 1,
    rollouts.map((r, i) => ({
      patientId: owners[i].id,
      text: r.text,
      numTokens: r.tokens.length,
      parsed: scores[i].parsed,
      reward: rewards[i],
      classification: scores[i].classification,
      attention: scores[i].attention,
      advantage: advantages[i],
      clipHigh: clip.high[i],
    })),
  );

  // -------------------------------------------------------------- loss and step
  const trained = taken.map((g) => ({ prompt: g.prompt.tokens, completions: g.rollouts.map((r) => r.tokens) }));
  const unfiltered = { temperature: rl.temperature, maxTokens: run.maxTokens };
  // The loss sees the distribution before top-k and top-p; where sampling cut it, its log-probs are no pi_old and are computed anew.
  const isCut = rl.top_p < 1 || rl.top_k > 0;
  const full = {
    groups: trained,
    oldLogprobs: isCut ? await completionLogprobs(policy, trained, unfiltered) : rollouts.map((r) => r.logprobs),
    advantages,
    clipHigh: clip.high,
  };
  const refLogprobs = inputs.reference ? await completionLogprobs(inputs.reference, trained, unfiltered) : undefined;
  const scored = performance.now();
  const rate = learningRate(rl.lr_scheduler_type, rl.learning_rate, step, rl.max_steps, rl.warmup_ratio);
  const updates: RlStepResult[] = [];
  for (let iteration = 0; iteration < rl.num_iterations; iteration++) {
    for (const batch of miniBatches({ ...full, refLogprobs }, rl.mini_batches, rl.num_generations)) {
      updates.push(
        await rlStep(policy, optimizer, batch, {
          learningRate: rate,
          clipLow: rl.epsilon,
          klBeta: rl.beta,
          lossType: rl.loss_type,
          temperature: rl.temperature,
          maxTokens: run.maxTokens,
        }),
      );
    }
  }
  const finished = performance.now();

  // -------------------------------------------------------------- log
  const numTokens = updates.reduce((n, u) => n + u.numTokens, 0);
  const metrics = {
    ...rewardMetrics(sampled, rl),
    ...clip.metrics,
    ...updateMetrics(updates),
    ...completionMetrics(rollouts),
    learning_rate: rate,
    step_time: (finished - started) / 1000,
    'time/generate': generateSeconds,
    'time/logprob': (scored - started) / 1000 - generateSeconds,
    'time/forward_backward': (finished - scored) / 1000,
    'perf/throughput': numTokens / ((finished - started) / 1000),
  };
  return { numTokens, metrics };
}

interface TrainPrompt {
  readonly id: string;
  readonly label: 0 | 1;
  readonly tokens: Uint32Array;
}

/** The completions of one prompt with what they earned. */
interface ScoredGroup {
  readonly prompt: TrainPrompt;
  readonly rollouts: readonly Rollout[];
  readonly scores: readonly ScoreRow[];
  /** R, the over-long penalty included. */
  readonly rewards: readonly number[];
}

/** Sampled by the policy. */
const sampledBy =
  ({ policy, config: { rl, seed } }: RlInputs): Complete =>
  (chosen, draw) =>
    generate(
      policy,
      chosen.map((p) => p.tokens),
      {
        numGenerations: rl.num_generations,
        maxTokens: rl.max_completion_length,
        ...answerStops(policy),
        temperature: rl.temperature,
        topK: rl.top_k,
        topP: rl.top_p,
        seed,
        streams: chosen.map((_, i) => (draw * rl.prompts_per_step + i) * STREAMS_PER_PROMPT),
      },
    );

/**
 * The first `count` groups of draw `draw`: the step, or beyond `rl.max_steps` a further round of one, so that no draw of prompts and no
 * random stream is used twice. `seconds`: spent generating.
 */
async function sampleGroups(
  { policy, task, config, expertFeatures }: RlInputs,
  prompts: readonly TrainPrompt[],
  draw: number,
  count: number,
  complete: Complete,
): Promise<{ groups: ScoredGroup[]; seconds: number }> {
  const rl = config.rl;
  const started = performance.now();
  const labels = prompts.map((p) => p.label);
  const chosen = promptBatch(config.seed, labels, rl.prompts_per_step, draw, rl.balance_classes)
    .slice(0, count)
    .map((i) => prompts[i]);
  const rollouts = await complete(chosen, draw);
  const seconds = (performance.now() - started) / 1000;
  const scores = await scoreAnswersOnDevice(
    policy.backend,
    task.cohort.features,
    chosen.flatMap((p, i) => rollouts[i].map((r) => ({ label: p.label, answer: parseAnswer(r.text), expert: expertFeatures[p.id] }))),
    { ...config.reward, lambda: rl.lambda ?? config.reward.lambda },
  );
  const groups = chosen.map((prompt, i): ScoredGroup => {
    const own = scores.slice(i * rl.num_generations, (i + 1) * rl.num_generations);
    const penalty = rollouts[i].map((r) => overlongPenalty(r.tokens.length, rl.max_completion_length, rl.soft_punish_cache));
    return { prompt, rollouts: rollouts[i], scores: own, rewards: own.map((s, g) => s.total + penalty[g]) };
  });
  return { groups, seconds };
}

/** Upper clip of each rollout, on the device. Tokens inside the feature list of a completion are its feature tokens. */
async function clipRange(
  policy: Policy,
  rollouts: readonly Rollout[],
  rl: Config['rl'],
): Promise<{ high: Float32Array; metrics: Record<string, number> }> {
  if (rl.clip_mode === 'fixed') {
    return { high: new Float32Array(rollouts.length).fill(rl.epsilon_high ?? rl.epsilon), metrics: {} };
  }
  const { ctx, tokenizer } = policy;
  const R = rollouts.length;
  const rowStart = new Uint32Array(R + 1);
  rollouts.forEach((r, i) => {
    rowStart[i + 1] = rowStart[i] + r.tokens.length;
  });
  const n = rowStart[R];
  const entropy = new Float32Array(n);
  const mask = new Uint32Array(n);
  rollouts.forEach((r, i) => {
    entropy.set(r.entropies, rowStart[i]);
    mask.set(featureTokenMask(r.tokens, tokenizer), rowStart[i]);
  });
  const { high, feature, range } = ctx.scope(() => {
    const out = clipRangeOp(
      ctx,
      { entropy: ctx.from(entropy), featureMask: ctx.from(mask), rowStart: ctx.from(rowStart) },
      { epsilonHighMin: rl.epsilon_high_min, epsilonHighMax: rl.epsilon_high_max },
    );
    return { high: ctx.read(out.clipHigh), feature: ctx.read(out.featureEntropy), range: ctx.read(out.range) };
  });
  const [highs, features, [lowest, largest]] = await Promise.all([high, feature, range]);
  return {
    high: highs,
    metrics: {
      'eagrl/epsilon_high/mean': mean(highs),
      'eagrl/epsilon_high/min': Math.min(...highs),
      'eagrl/epsilon_high/max': Math.max(...highs),
      'eagrl/feature_entropy/mean': mean(features),
      'eagrl/feature_entropy/min': lowest,
      'eagrl/feature_entropy/max': largest,
    },
  };
}

/** Whole groups, in order, in `parts` nearly equal parts. */
function miniBatches(batch: RlBatch, parts: number, G: number): RlBatch[] {
  const P = batch.groups.length;
  const count = Math.min(parts, P);
  const cuts = Array.from({ length: count + 1 }, (_, i) => Math.floor((i * P) / count));
  return cuts.slice(1).map((to, i) => {
    const from = cuts[i];
    return {
      groups: batch.groups.slice(from, to),
      oldLogprobs: batch.oldLogprobs.slice(from * G, to * G),
      refLogprobs: batch.refLogprobs?.slice(from * G, to * G),
      advantages: batch.advantages.slice(from * G, to * G),
      clipHigh: batch.clipHigh.slice(from * G, to * G),
    };
  });
}

const mean = (v: ArrayLike<number>): number => {
  let sum = 0;
  for (let i = 0; i < v.length; i++) sum += v[i];
  return sum / Math.max(1, v.length);
};

/** Of all that was sampled, what dynamic sampling left out included. */
function rewardMetrics(sampled: readonly ScoredGroup[], { soft_punish_cache: cache }: Config['rl']): Record<string, number> {
  const scores = sampled.flatMap((g) => g.scores);
  const rewards = sampled.flatMap((g) => g.rewards);
  const groups = sampled.map((g) => meanAndStd(g.rewards));
  const part = (name: string, values: readonly number[]) => {
    const { mean: m, std } = meanAndStd(values);
    return { [`rewards/${name}/mean`]: m, [`rewards/${name}/std`]: std };
  };
  return {
    reward: mean(rewards),
    reward_std: mean(groups.map((g) => g.std)),
    frac_reward_zero_std: groups.filter((g) => g.std < EQUAL_REWARDS).length / groups.length,
    ...part(
      'classification',
      scores.map((s) => s.classification),
    ),
    ...part(
      'attention',
      scores.map((s) => s.attention),
    ),
    ...(cache > 0
      ? part(
          'overlong',
          rewards.map((r, i) => r - scores[i].total),
        )
      : {}),
    'eagrl/jaccard/mean': mean(scores.map((s) => s.attention)),
    'eagrl/parse_failure_rate': mean(scores.map((s) => (s.parsed ? 0 : 1))),
  };
}

function updateMetrics(updates: readonly RlStepResult[]): Record<string, number> {
  const low = updates.map((u) => u.clipLowRatio);
  const high = updates.map((u) => u.clipHighRatio);
  const kl = updates.flatMap((u) => (u.kl === null ? [] : [u.kl]));
  return {
    loss: mean(updates.map((u) => u.loss)),
    policy_loss: mean(updates.map((u) => u.policyLoss)),
    // Without a reference there is no KL: the distance from the sampling policy is another thing.
    ...(kl.length > 0 ? { kl: mean(kl) } : {}),
    grad_norm: mean(updates.map((u) => u.gradNorm)),
    'clip_ratio/low_mean': mean(low),
    'clip_ratio/low_min': Math.min(...low),
    'clip_ratio/high_mean': mean(high),
    'clip_ratio/high_max': Math.max(...high),
    'clip_ratio/region_mean': mean(low) + mean(high),
    // Before the first update both are the same policy: what differs is arithmetic.
    'sampling/sampling_logp_difference/mean': updates[0].logpDifferenceMean,
    'sampling/sampling_logp_difference/max': updates[0].logpDifferenceMax,
  };
}

function completionMetrics(rollouts: readonly Rollout[]): Record<string, number> {
  const lengths = rollouts.map((r) => r.tokens.length);
  const total = lengths.reduce((a, b) => a + b, 0);
  return {
    entropy: rollouts.reduce((sum, r) => sum + r.entropies.reduce((a, b) => a + b, 0), 0) / Math.max(1, total),
    'completions/mean_length': mean(lengths),
    'completions/min_length': Math.min(...lengths),
    'completions/max_length': Math.max(...lengths),
    'completions/clipped_ratio': mean(rollouts.map((r) => (r.stopped ? 0 : 1))),
  };
}
