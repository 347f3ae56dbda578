/** completions/completions_<step>.parquet: every rollout of a step of Stage 2 with its rewards, one row each. */
import { parquetWriteBuffer } from 'hyparquet-writer';
import type { ScoredRollout } from '../stages/rl.ts';

/** Path in the run folder; steps count from 1. */
export function completionsFile(step: number): string {
  return `completions/completions_${String(step).padStart(5, '0')}.parquet`;
}

/** Columns: step, patient_id, completion, num_tokens, parsed, reward, rewards_classification, rewards_attention, advantage, epsilon_high. */
export function completionsParquet(step: number, rollouts: readonly ScoredRollout[]): Uint8Array {
  const doubles = (name: string, of: (r: ScoredRollout) => number) => ({ name, data: rollouts.map(of), type: 'DOUBLE' as const });
  const buffer = parquetWriteBuffer({
    columnData: [
      { name: 'step', data: rollouts.map(() => step), type: 'INT32' },
      { name: 'patient_id', data: rollouts.map((r) => r.patientId), type: 'STRING' },
      { name: 'completion', data: rollouts.map((r) => r.text), type: 'STRING' },
      { name: 'num_tokens', data: rollouts.map((r) => r.numTokens), type: 'INT32' },
      { name: 'parsed', data: rollouts.map((r) => r.parsed), type: 'BOOLEAN' },
      doubles('reward', (r) => r.reward),
      doubles('rewards_classification', (r) => r.classification),
      doubles('rewards_attention', (r) => r.attention),
      doubles('advantage', (r) => r.advantage),
      doubles('epsilon_high', (r) => r.clipHigh),
    ],
  });
  return new Uint8Array(buffer);
}
