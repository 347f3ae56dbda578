/** Supervised fine-tuning on (prompt, completion) examples: Stage 1's distillation, and the baseline on bare answers. */
import { learningRate, type PromptGroup } from '@eagrl/runtime';
import type { Config } from '../config/schema.ts';
import type { Policy } from '../policy.ts';
import { epochBatch, stepsPerEpoch } from '../train/batches.ts';
import { sftStep } from '../train/sft_step.ts';
import { type StepReport, type TrainingRun, trainSteps } from './train_loop.ts';

/** What the log says of a step that began at `started` (performance.now()); `more` stands before the times. */
export function sftReport(
  { loss, gradNorm, numTokens }: Awaited<ReturnType<typeof sftStep>>,
  rate: number,
  started: number,
  more: Readonly<Record<string, number>> = {},
): StepReport {
  const seconds = (performance.now() - started) / 1000;
  return {
    numTokens,
    metrics: { loss, grad_norm: gradNorm, learning_rate: rate, ...more, step_time: seconds, 'perf/throughput': numTokens / seconds },
  };
}

/** Trains `policy` in place for `sft.num_train_epochs`, from the phase's last checkpoint if there is one. */
export async function trainSft(
  policy: Policy,
  examples: readonly PromptGroup[],
  config: Config['sft'],
  seed: number,
  run: TrainingRun,
): Promise<void> {
  if (examples.length === 0) throw new Error(`${run.phase}: no examples to learn from`);
  const perEpoch = stepsPerEpoch(examples.length, config.train_batch_size);
  const maxSteps = Math.max(1, Math.round(perEpoch * config.num_train_epochs));
  const options = { weightDecay: config.weight_decay, maxGradNorm: config.max_grad_norm };
  await trainSteps(policy, run, maxSteps, options, async (learner, step, optimizer) => {
    const started = performance.now();
    const batch = epochBatch(seed, run.phase, examples.length, config.train_batch_size, step).map((i) => examples[i]);
    const rate = learningRate(config.lr_scheduler_type, config.learning_rate, step, maxSteps, config.warmup_ratio);
    const result = await sftStep(learner, optimizer, batch, {
      learningRate: rate,
      maxTokens: run.maxTokens,
      dropout: { seed, step },
    });
    return sftReport(result, rate, started, { epoch: (step + 1) / perEpoch });
  });
}
