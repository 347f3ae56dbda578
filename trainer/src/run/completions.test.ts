import { parquetReadObjects } from 'hyparquet';
import { expect, test } from 'vitest';
import type { ScoredRollout } from '../stages/rl.ts';
import { completionsFile, completionsParquet } from './completions.ts';

const rollout = (patientId: string, text: string, reward: number): ScoredRollout => ({
  patientId,
  text,
  numTokens: text.length,
  parsed: reward > -1,
  reward,
  classification: reward / 2,
  attention: 0.25,
  advantage: -reward,
  clipHigh: 0.3,
});

test('a parquet file gives back every column of every rollout', async () => {
  const rollouts = [rollout('S1', '<Final answer>0.75</Final answer>', 0.4), rollout('S2', 'é\n"x", 尿素', -2.763102111592855)];
  const bytes = completionsParquet(12, rollouts);
  const rows = await parquetReadObjects({ file: bytes.slice().buffer });
  expect(rows).toEqual(
    rollouts.map((r) => ({
      step: 12,
      patient_id: r.patientId,
      completion: r.text,
      num_tokens: r.numTokens,
      parsed: r.parsed,
      reward: r.reward,
      rewards_classification: r.classification,
      rewards_attention: r.attention,
      advantage: r.advantage,
      epsilon_high: r.clipHigh,
    })),
  );
  expect(completionsParquet(12, rollouts)).toEqual(bytes);
  expect(completionsFile(12)).toBe('completions/completions_00012.parquet');
});
