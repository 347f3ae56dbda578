/**
 * Plan: a step of Stage 2, with the shipped base policy on wasm.
 *   KL is logged with a reference policy and not without; there the loss is more than the policy loss
 *   dynamic sampling: answers too short to be read all earn the same: every round is drawn, the step warns, and takes the prompts of the first round
 *   with room to answer: each group that is trained on has rewards that differ, and the over-long penalty stands in the reward
 */
import { Context, openDevice } from '@eagrl/runtime';
import { afterAll, expect, it } from 'vitest';
import { loadConfig } from '../config/load.ts';
import { generateSyntheticCohort } from '../data/synthetic.ts';
import { withPolicy } from '../model_source.ts';
import { meanAndStd } from '../rewards/advantages.ts';
import { overlongPenalty, totalReward } from '../rewards/rewards.ts';
import { BASE_POLICY, loadPolicy, readModelFolder } from '../run/model_folder.ts';
import { taskOf } from '../tasks/configured.ts';
import { type ScoredRollout, trainRl, withReference } from './rl.ts';

const backend = await openDevice({ device: 'wasm' });
afterAll(() => backend.destroy());

async function oneStep(overrides: readonly string[]) {
  const config = loadConfig({ path: 'configs/smoke.yaml', overrides });
  const cohort = generateSyntheticCohort({ seed: 0, split: { train: 12, val: 8, test: 8 } });
  const warnings: string[] = [];
  const rollouts: ScoredRollout[] = [];
  let metrics: Readonly<Record<string, number>> = {};
  await withPolicy(loadPolicy(new Context(backend), readModelFolder(BASE_POLICY)), (policy) =>
    withReference(policy, config, (reference) =>
      trainRl({
        policy,
        reference,
        task: taskOf(cohort, config),
        expertFeatures: Object.fromEntries(cohort.patients.map((p) => [p.id, [0, 1, 2]])),
        config,
        run: {
          phase: 'rl',
          maxTokens: 4096,
          checkpointEvery: 100,
          checkpoints: { restore: async () => null, save: async () => {} },
          log: (_step, values) => {
            metrics = values;
          },
          warn: (message) => warnings.push(message),
          progress: () => {},
        },
        onRollouts: (_step, scored) => rollouts.push(...scored),
      }),
    ),
  );
  return { config, warnings, rollouts, metrics };
}

it('every group equal: all rounds are drawn, the step says that it teaches nothing', async () => {
  const { warnings, rollouts, metrics, config } = await oneStep(['--rl.dynamic_sampling', '3', '--rl.max_completion_length', '3']);
  expect(warnings).toHaveLength(1);
  expect(warnings[0]).toContain('equal rewards, in 3 rounds');
  expect(metrics.frac_reward_zero_std).toBe(1);
  expect(rollouts).toHaveLength(config.rl.prompts_per_step * config.rl.num_generations);
  expect(rollouts.every((r) => !r.parsed && r.advantage === 0)).toBe(true);
});

it('trains on groups whose rewards differ; R holds the over-long penalty', async () => {
  const { config, rollouts, warnings } = await oneStep([
    '--rl.dynamic_sampling',
    '4',
    '--rl.soft_punish_cache',
    '100',
    '--rl.max_completion_length',
    '120',
    '--rl.num_generations',
    '4',
  ]);
  expect(warnings).toEqual([]);
  expect(rollouts).toHaveLength(config.rl.prompts_per_step * 4);
  for (let at = 0; at < rollouts.length; at += 4) {
    expect(meanAndStd(rollouts.slice(at, at + 4).map((r) => r.reward)).std).toBeGreaterThan(1e-6);
  }
  for (const r of rollouts) {
    const penalty = overlongPenalty(r.numTokens, 120, 100);
    expect(r.reward).toBeCloseTo(totalReward(r.classification, r.attention, config.reward) + penalty, 5);
  }
  expect(rollouts.some((r) => overlongPenalty(r.numTokens, 120, 100) < 0)).toBe(true);
});

it('logs kl with a reference policy alone; where there is none the whole loss is the policy loss', async () => {
  const { metrics: without } = await oneStep([]);
  expect(without).not.toHaveProperty('kl');
  expect(without.policy_loss).toBe(without.loss);
  const { metrics } = await oneStep(['--rl.beta', '0.5', '--rl.loss_type', 'grpo']);
  expect(metrics.kl).toBeGreaterThan(0); // the second update: the first has moved the policy
  expect(metrics.loss).toBeGreaterThan(metrics.policy_loss);
});
