/**
 * The expert: an ensemble of models, ConCare unless `expert.kind` says otherwise, trained on the train split, stopped early on the
 * validation split. Its attention, averaged over the ensemble, says which features matter for each patient; the top K of them are C_exp.
 * Used only while training the policy, and to measure agreement.
 *
 * Paper: EAG-RL, "expert attention". Recipe: eag-rl.md section 2 [a]; ensemble, K and the other kinds are ours [d] (trainer/PAPER.md).
 * Command: eagrl expert --config configs/demo.yaml
 */
import { AdamW, attentionImportance, type Context, type ExpertLoss, type ExpertPatient } from '@eagrl/runtime';
import type { Config } from '../config/schema.ts';
import { columnFeatures, expertInput, featureStatistics } from '../expert/inputs.ts';
import { createExpert } from '../expert/models.ts';
import { auroc } from '../metrics/classification.ts';
import { epochBatch, stepsPerEpoch } from '../train/batches.ts';
import type { Cohort, SplitName } from '../types.ts';
import { yieldToEvents } from '../util/event_loop.ts';
import { aheadOn } from './ahead.ts';
import type { ExpertFeatures } from './evaluate.ts';
import type { Journal } from './journal.ts';
import type { TrainingRun } from './train_loop.ts';

/** Columns over all patients of the cohort, by id. */
export interface ExpertResult {
  readonly probabilities: Readonly<Record<string, number>>;
  /** C_exp: indices of the K features with the largest importance, largest first. */
  readonly features: ExpertFeatures;
  readonly valAuroc: readonly number[];
}

/** One trained member: what it says of every patient, in the cohort's order. Kept by the journal as expert-<number from 1>. */
export interface Member {
  readonly valAuroc: number;
  readonly epochs: number;
  readonly probabilities: readonly number[];
  /** (patients, C + 1) attention; C columns, one-hot ones counted by their levels, then the static inputs. */
  readonly attention: readonly number[];
}

/** Visits the expert reads: TJH has at most 13; longer records keep their last ones. */
const MAX_VISITS = 16;

export async function trainExperts(
  ctx: Context,
  cohort: Cohort,
  config: Config,
  journal: Journal,
  run: TrainingRun,
): Promise<ExpertResult> {
  const { ensemble, attention_top_k: topK } = config.expert;
  const data = expertData(cohort);
  const members: Member[] = [];
  let compiled = false; // all members launch the same
  for (let m = 0; m < ensemble; m++) {
    run.signal?.throwIfAborted();
    const train = async () => {
      if (!compiled) await aheadOn(ctx.backend, (shadow) => rehearseMember(shadow, data, config));
      compiled = true;
      return trainMember(ctx, data, config, m, run);
    };
    members.push(await journal.once(`expert-${m + 1}`, train));
    run.progress(m + 1, ensemble, `validation AUROC ${members[m].valAuroc.toFixed(3)}`);
  }
  return readExperts(members, cohort, topK);
}

/** What trained members say together, with C_exp of size `topK`. */
export function readExperts(members: readonly Member[], cohort: Cohort, topK: number): ExpertResult {
  const F = cohort.features.length;
  const importance = attentionImportance(
    members.map((m) => Float32Array.from(m.attention)),
    columnFeatures(cohort.features),
    F,
  );
  const probabilities: Record<string, number> = {};
  const features: Record<string, number[]> = {};
  cohort.patients.forEach(({ id }, p) => {
    probabilities[id] = members.reduce((sum, m) => sum + m.probabilities[p], 0) / members.length;
    features[id] = topIndices(importance.subarray(p * F, (p + 1) * F), topK);
  });
  return { probabilities, features, valAuroc: members.map((m) => m.valAuroc) };
}

/** Indices of the k largest values, largest first; the lower index among equals. */
export function topIndices(values: ArrayLike<number>, k: number): number[] {
  return Array.from(values, (_, i) => i)
    .sort((a, b) => values[b] - values[a] || a - b)
    .slice(0, k);
}

export interface ExpertData {
  /** C: features, one-hot ones counted by their levels. */
  readonly numColumns: number;
  readonly patients: readonly ExpertPatient[];
  readonly labels: readonly (0 | 1)[];
  /** Positions in `patients`. */
  readonly split: Readonly<Record<SplitName, readonly number[]>>;
}

/** What the experts read of a cohort; statistics come from its train split alone. */
export function expertData(cohort: Cohort): ExpertData {
  const at = new Map(cohort.patients.map((p, i) => [p.id, i]));
  const positions = (name: SplitName) => cohort.splits[name].map((id) => at.get(id) as number);
  const split = { train: positions('train'), val: positions('val'), test: positions('test') };
  const F = cohort.features.length;
  const stats = featureStatistics(
    split.train.map((i) => cohort.patients[i]),
    F,
  );
  const C = columnFeatures(cohort.features).length;
  const patients = cohort.patients.map((patient): ExpertPatient => {
    const { numVisits, series, demographics } = expertInput(patient, cohort, stats, MAX_VISITS);
    return { visits: Array.from({ length: numVisits }, (_, t) => series.subarray(t * C, (t + 1) * C)), statics: demographics };
  });
  return { numColumns: C, patients, labels: cohort.patients.map((p) => p.label), split };
}

/** The default of `seed`. */
const FIRST_SEED = 42;

/**
 * Seed of a member, modulo 2^32. Runs lie an odd step of 2^32 over the golden ratio apart from each other, counted from the default seed, whose
 * members are 42, 43, ...: no seed is given twice, and the ensembles of neighbouring runs (`--seeds`) share no member.
 */
export const memberSeed = (seed: number, member: number): number => (FIRST_SEED + Math.imul(seed - FIRST_SEED, 0x9e3779b1) + member) >>> 0;

/** A member at its start, and what it learns from and is asked. */
function memberOf(ctx: Context, data: ExpertData, { expert: c, seed: runSeed }: Config, member: number) {
  const seed = memberSeed(runSeed, member);
  const { train, val } = data.split;
  const select = (places: readonly number[]) => places.map((i) => data.patients[i]);
  const labelsOf = (places: readonly number[]) => places.map((i) => data.labels[i]);
  const model = createExpert(ctx, c, data.numColumns, seed);
  const optimizer = new AdamW(model.params, { weightDecay: c.weight_decay, maxGradNorm: c.max_grad_norm });
  return {
    model,
    optimizer,
    validation: { patients: select(val), labels: labelsOf(val) },
    takeStep: (step: number) => {
      const places = epochBatch(seed, 'expert', train.length, c.batch_size, step).map((i) => train[i]);
      return model.trainStep(select(places), labelsOf(places), optimizer, c.learning_rate);
    },
  };
}

/** What every member launches, on a device that computes nothing. */
async function rehearseMember(shadow: Context, data: ExpertData, config: Config): Promise<void> {
  const { model, validation, takeStep } = memberOf(shadow, data, config, 0);
  await takeStep(0);
  await model.predict(validation.patients);
  await model.predict(data.patients);
}

/** Trains one member and lets it speak about every patient with the weights of its best epoch. */
async function trainMember(ctx: Context, data: ExpertData, config: Config, member: number, run: TrainingRun): Promise<Member> {
  const c = config.expert;
  const { model, optimizer, validation, takeStep } = memberOf(ctx, data, config, member);
  const perEpoch = stepsPerEpoch(data.split.train.length, c.batch_size);
  let best = { auroc: -1, epoch: -1, weights: new Map<string, Float32Array>() };
  let epoch = 0;
  for (; epoch < c.num_epochs && epoch - best.epoch <= c.patience; epoch++) {
    await yieldToEvents();
    run.signal?.throwIfAborted();
    const losses: (ExpertLoss & { readonly gradNorm: number })[] = [];
    for (let s = 0; s < perEpoch; s++) losses.push(await takeStep(epoch * perEpoch + s));
    const { probabilities } = await model.predict(validation.patients);
    const score = auroc(validation.labels, probabilities);
    const mean = (of: (l: (typeof losses)[number]) => number) => losses.reduce((sum, l) => sum + of(l), 0) / losses.length;
    if (member === 0) {
      run.log(epoch + 1, {
        loss: mean((l) => l.loss),
        bce_loss: mean((l) => l.bce),
        ...(losses[0].decov === undefined ? {} : { decov_loss: mean((l) => l.decov as number) }),
        grad_norm: mean((l) => l.gradNorm),
        val_auroc: score,
      });
    }
    if (score > best.auroc) best = { auroc: score, epoch, weights: await model.params.read() };
  }
  for (const [name, values] of best.weights) model.params.write(name, values);
  const { probabilities, attention } = await model.predict(data.patients);
  optimizer.destroy();
  model.destroy();
  return { valAuroc: best.auroc, epochs: epoch, probabilities: Array.from(probabilities), attention: Array.from(attention) };
}
