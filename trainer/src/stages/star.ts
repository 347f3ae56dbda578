/**
 * One round of STaR (Zelikman et al. 2022, arXiv 2203.14465), the ablation of Stage 1's search: the policy answers for the same train
 * patients without tree, expert or reward, and learns from those answers of its own that were right. Rationalisation (asking again with the
 * answer as a hint) is left out: a hinted answer names the features that fit the hint, which is what the expert is to prevent [d].
 *
 * Sampling is the search's: as many answers per patient as trees have simulations, its temperature and top-p, and room for as many tokens
 * as its longest path.
 */
import type { Config } from '../config/schema.ts';
import { answerStops, generate, type Policy, promptTokens } from '../policy.ts';
import type { Task } from '../tasks/task.ts';
import { parseAnswer } from '../text/answer.ts';
import { yieldToEvents } from '../util/event_loop.ts';
import { searchCases } from './distill.ts';
import type { Journal } from './journal.ts';
import type { TrainingRun } from './train_loop.ts';

/** An answer to learn from. */
export interface SelfAnswer {
  readonly id: string;
  readonly label: 0 | 1;
  readonly completion: readonly number[];
}

export interface SelfAnswers {
  /** Of each patient the first answer on the right side of 0.5, both outcomes in equal number: the surplus at the end goes. */
  readonly kept: readonly SelfAnswer[];
  /** Tokens written, kept or not. */
  readonly tokens: number;
}

export async function selfAnswers(policy: Policy, task: Task, config: Config, run: TrainingRun, journal: Journal): Promise<SelfAnswers> {
  const { batch_size: size, num_simulations: perCase, max_depth, max_step_tokens, temperature, top_p } = config.mcts;
  const cases = searchCases(task, config);
  const right: SelfAnswer[] = [];
  let tokens = 0;
  for (let at = 0; at < cases.length; at += size) {
    await yieldToEvents();
    run.signal?.throwIfAborted();
    const part = cases.slice(at, at + size);
    const batch = await journal.once(`mcts-${at + part.length}`, async (): Promise<{ right: SelfAnswer[]; tokens: number }> => {
      const examples = part.map((i) => task.getExample('train', i));
      const rollouts = await generate(
        policy,
        examples.map(({ prompt }) => promptTokens(policy, prompt)),
        {
          numGenerations: perCase,
          maxTokens: max_depth * max_step_tokens,
          ...answerStops(policy),
          temperature,
          topK: 0,
          topP: top_p,
          seed: config.seed,
          streams: part.map((i) => i * perCase),
        },
      );
      return {
        right: examples.flatMap(({ id, label }, i) => {
          const found = rollouts[i].find(({ text }) => {
            const { probability } = parseAnswer(text);
            return probability !== null && (label === 1 ? probability > 0.5 : probability < 0.5);
          });
          return found === undefined ? [] : [{ id, label, completion: Array.from(found.tokens) }];
        }),
        tokens: rollouts.flat().reduce((sum, rollout) => sum + rollout.tokens.length, 0),
      };
    });
    right.push(...batch.right);
    tokens += batch.tokens;
    run.progress(at + part.length, cases.length);
  }
  const of = (label: 0 | 1) => right.filter((answer) => answer.label === label);
  const n = Math.min(of(0).length, of(1).length);
  return { kept: right.filter((answer) => of(answer.label).indexOf(answer) < n), tokens };
}
