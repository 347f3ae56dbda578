/** Baseline: supervised fine-tuning on bare answers: the patients whose trajectories Stage 1 distils, no reasoning, the label as the number. */
import type { PromptGroup } from '@eagrl/runtime';
import type { Policy } from '../policy.ts';
import { promptTokens } from '../policy.ts';
import type { Task } from '../tasks/task.ts';
import { formatFinal } from '../text/answer.ts';

/** The number a bare answer states for each label: the ends that a two-decimal answer can have. */
const STATED = [0.01, 0.99] as const;

/** One example per train patient in `ids`, so that both learn from as many. `task` builds prompts that ask for the number alone. */
export function bareAnswerExamples(
  policy: Pick<Policy, 'tokenizer' | 'chat' | 'endTokens'>,
  task: Task,
  ids: ReadonlySet<string>,
): PromptGroup[] {
  return Array.from({ length: task.numExamples('train') }, (_, i) => task.getExample('train', i))
    .filter(({ id }) => ids.has(id))
    .map(({ prompt, label }) => ({
      prompt: promptTokens(policy, prompt),
      completions: [Uint32Array.of(...policy.tokenizer.encode(formatFinal(null, null, STATED[label])), policy.endTokens[0])],
    }));
}
