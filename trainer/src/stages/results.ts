/**
 * The end of a run: every predictor answers for the test patients from its checkpoint, then table, summary.json, eval/ files and report.
 * (Node edge.)
 */

import type { SearchTree } from '../mcts/search.ts';
import { destroyPolicy } from '../model_source.ts';
import { answerStops, generate, type Policy, promptTokens } from '../policy.ts';
import { collectReport } from '../report/collect.ts';
import { renderReport } from '../report/report.ts';
import type { FeatureFrequency, ReasoningExample, ReportParts } from '../report/report_data.ts';
import type { EvalName, EvalRow, Summary } from '../report/summary.ts';
import { taskOf } from '../tasks/configured.ts';
import type { Cohort } from '../types.ts';
import { yieldToEvents } from '../util/event_loop.ts';
import { evalRow, loggedMetrics, POLICIES, type PolicyName, pairedDifferences, type Said, saidBy } from './eval_rows.ts';
import { type Predictions, predict } from './evaluate.ts';
import type { ExpertResult } from './expert.ts';
import type { RunState } from './pipeline.ts';
import { basePolicy, trainedPolicy } from './policies.ts';
import type { Track } from './sitting.ts';

export async function writeResults(state: RunState, expert: ExpertResult, trees: readonly SearchTree[]): Promise<Summary> {
  const { config, run, data, journal } = state;
  const { cohort } = data;
  const log = state.training('eval');
  const predictions = {} as Record<PolicyName, Predictions>;
  for (const [i, policy] of POLICIES.entries()) {
    await yieldToEvents();
    log.signal?.throwIfAborted();
    predictions[policy.name] = await journal.once(`eval-${policy.name}`, () => predictWith(state, policy, expert, i));
  }
  const rows = saidBy(cohort, expert, predictions);
  const evalRowsByName: Partial<Record<EvalName, EvalRow>> = {};
  const metrics: Record<string, number> = {};
  for (const said of rows) {
    const { name, columns } = said;
    const { row, intervals } = evalRow(said, config);
    evalRowsByName[name] = row;
    const folder = `eval/${cohort.name}/${name}`;
    run.writeJson(`${folder}/metrics.json`, row);
    run.writeJson(`${folder}/bootstrap.json`, intervals);
    run.write(
      `${folder}/predictions.jsonl`,
      columns.ids.map((id, i) => `${JSON.stringify({ id, label: columns.labels[i], probability: columns.probabilities[i] })}\n`).join(''),
    );
    if (name === 'stage2') {
      Object.assign(metrics, loggedMetrics(cohort, intervals));
    }
  }
  if (journal.peek('eval-logged') === null) {
    log.log(1, metrics);
    journal.keep('eval-logged', true);
  }

  // The phase at work is not in the books yet.
  const seconds = { ...state.seconds, eval: (state.seconds.eval ?? 0) + (performance.now() - state.started) / 1000 };
  const summary: Summary = {
    device: config.device,
    adapter: state.ctx.backend.info.adapter,
    config_hash: run.configHash,
    commit: run.environment.commit,
    seconds: { total: Object.values(seconds).reduce((a, b) => a + b, 0), ...seconds },
    peak_rss_bytes: process.resourceUsage().maxRSS * 1024,
    eval: evalRowsByName,
    paired: pairedDifferences(rows, config),
  };
  run.writeJson('summary.json', summary);
  run.writeJson('report_data.json', await reportParts(state, expert, trees, predictions, rows));
  run.write('report.html', renderReport(collectReport(run.path)));
  return summary;
}

function policyOf(state: RunState, track: Track | null): Policy {
  return track === null ? basePolicy(state) : trainedPolicy(state, track);
}

async function predictWith(state: RunState, row: (typeof POLICIES)[number], expert: ExpertResult, index: number): Promise<Predictions> {
  const { config, data } = state;
  const log = state.training('eval');
  const policy = policyOf(state, row.track);
  try {
    return await predict(
      policy,
      taskOf(data.cohort, config, row.answer),
      'test',
      expert.features,
      config.eval,
      config.seed,
      (done, total) => {
        log.signal?.throwIfAborted();
        log.progress(index * total + done, POLICIES.length * total, row.name);
      },
    );
  } finally {
    destroyPolicy(policy);
  }
}

// ---------------------------------------------------------------- report

/** Share of test patients for whom each feature is in C_exp or named. */
function frequencies(cohort: Cohort, expert: ExpertResult, predictions: Record<PolicyName, Predictions>): FeatureFrequency[] {
  const { ids } = predictions.stage2;
  const share = (lists: readonly (readonly number[])[], f: number) => lists.filter((l) => l.includes(f)).length / lists.length;
  const expertLists = ids.map((id) => expert.features[id]);
  return cohort.features
    .map((feature, f) => ({
      name: feature.name,
      expert: share(expertLists, f),
      zero_shot: share(predictions.zero_shot.features, f),
      stage2: share(predictions.stage2.features, f),
    }))
    .filter((row) => row.expert + row.stage2 > 0.02);
}

async function reportParts(
  state: RunState,
  expert: ExpertResult,
  trees: readonly SearchTree[],
  predictions: Record<PolicyName, Predictions>,
  rows: readonly Said[],
): Promise<ReportParts> {
  const { cohort } = state.data;
  const synthetic = cohort.truth !== undefined;
  const tree = trees.reduce<SearchTree | null>(
    (largest, t) => (largest === null || t.nodes.length > largest.nodes.length ? t : largest),
    null,
  );
  return {
    dataset: cohort.name,
    task: cohort.task,
    synthetic,
    predictions: Object.fromEntries(rows.map((r) => [r.name, { labels: [...r.columns.labels], scores: [...r.columns.probabilities] }])),
    featureFrequency: frequencies(cohort, expert, predictions),
    // Text of a real patient stays out of the file.
    ...(synthetic ? { reasoning: await reasoningExample(state, expert, predictions) } : {}),
    ...(synthetic && tree
      ? {
          tree: tree.nodes.map(({ parent, text, terminal, visits, maxValue, reward }) => ({
            parent,
            text,
            terminal,
            visits,
            maxValue,
            reward,
          })),
        }
      : {}),
  };
}

/** The test patient whom Stage 2 moved furthest towards the truth, answered by the base policy and by the final one. */
async function reasoningExample(
  state: RunState,
  expert: ExpertResult,
  predictions: Record<PolicyName, Predictions>,
): Promise<ReasoningExample> {
  const { config, data } = state;
  const { cohort } = data;
  const { labels, ids } = predictions.stage2;
  const gain = (i: number) => (labels[i] === 1 ? 1 : -1) * (predictions.stage2.probabilities[i] - predictions.zero_shot.probabilities[i]);
  const best = ids.reduce((at, _, i) => (gain(i) > gain(at) ? i : at), 0);
  const example = taskOf(cohort, config).getExample('test', best);
  const answer = (track: Track | null) =>
    state.journal.once(`example-${track ?? 'base'}`, async () => {
      const policy = policyOf(state, track);
      try {
        const [[rollout]] = await generate(policy, [promptTokens(policy, example.prompt)], {
          numGenerations: 1,
          maxTokens: config.eval.max_completion_length,
          ...answerStops(policy),
          temperature: 0,
          topK: 0,
          topP: 1,
          seed: config.seed,
          streams: [0],
        });
        return rollout.text;
      } finally {
        destroyPolicy(policy);
      }
    });
  return {
    prompt: example.prompt,
    label: example.label,
    expertFeatures: expert.features[example.id].map((f) => cohort.features[f].name),
    causalFeatures: cohort.truth?.causal[example.id],
    before: await answer(null),
    after: await answer('rl'),
  };
}
