/**
 * The whole run in one schema. Names are TRL's where TRL has one. Marks of defaults, as in PAPER.md:
 * [p] stated by the paper, [a] seen in the authors' or co-authors' code, [d] ours, with the reason.
 */
import { z } from 'zod';

const count = z.int().min(1);
const index = z.int().min(0);
const fraction = z.number().min(0).max(1);
const positive = z.number().positive();
const nonNegative = z.number().min(0);
const probabilityMass = z.number().gt(0).max(1);
const schedule = z.enum(['constant', 'linear', 'cosine']);

const data = z.strictObject({
  /** `synthetic`: generated, known causes; `tjh`: the Tongji COVID-19 workbook; `mimic4`: a MIMIC-IV folder; `meds`: a MEDS folder. */
  kind: z.enum(['synthetic', 'tjh', 'mimic4', 'meds']).default('synthetic'),
  /** In-hospital mortality, or 30-day readmission (`mimic4`, and `meds` where it has the labels). */
  task: z.enum(['mortality', 'readmission']).default('mortality'),
  /** Workbook (.xlsx) of `tjh`; folder with hosp/ and icu/ of `mimic4`, with data/, metadata/ and tasks/ of `meds`. */
  path: z.string().nullable().default(null),
  /** JSON file with the ids of train, val and test: patients of `tjh`, ICU stays of `mimic4` (null: drawn by `seed`), subjects of `meds` (null: its own). */
  split: z.string().nullable().default(null),
  /** Patients generated per split; [d] 400 test patients give AUROC a standard error near 0.02. */
  num_train: count.default(600),
  num_val: count.default(100),
  num_test: count.default(400),
  /** Patients with fewer visits are left out; [a] both 1 (361 patients) and 2 (the paper's filter) are published for TJH. */
  min_visits: z.union([z.literal(1), z.literal(2)]).default(1),
  /** Only days at least so many before the day of death or discharge; null: all, the published protocol [a]. Mortality alone. */
  horizon_days: index.nullable().default(null),
  /** `mimic4`: latest days shown one by one; all days before them become one row [a]. */
  max_days: count.default(7),
  /** `mimic4`: at most so many ICU stays, drawn by patient; null: all. */
  max_stays: count.nullable().default(null),
  /** `mimic4` without `split`: shares of the patients, drawn within those with a positive stay and those without [d]. */
  val_fraction: fraction.default(0.1),
  test_fraction: fraction.default(0.2),
  /** `synthetic`: `shifted` has the same causes with other weights, another hospital as it were [d]. */
  effects: z.enum(['standard', 'shifted']).default('standard'),
  /** Seed of the generated cohort and of drawn splits, apart from `seed` so that seeds of a run can be compared on one cohort [d]. */
  seed: index.default(0),
});

const prompt = z.strictObject({
  /** `full`: every feature and visit, as the authors' [a]; `compact`: observed features, last visits, flags, for small models [d]. */
  form: z.enum(['full', 'compact']).default('compact'),
  /** Visits shown per feature in the compact form; [d] 2 show a trend at little length. */
  last_visits: count.default(2),
  units: z.boolean().default(false),
  /** H and L flags against the reference range; [d] a small model need not learn 73 ranges first. */
  flags: z.boolean().default(true),
  /** Robustness: this share of the feature lines changes places [p: 0.2, 0.4, 0.6, 1], drawn from `seed` and the patient. */
  shuffle_fraction: fraction.default(0),
  /** Robustness: this share of the shown values is taken away, drawn likewise [d]. */
  missing_fraction: fraction.default(0),
  /** Robustness: every value is multiplied by 1 + noise_std N(0, 1), drawn likewise [d]. */
  noise_std: nonNegative.default(0),
});

const model = z.strictObject({
  /** Folder in Hugging Face's layout, weights in one file or sharded; null = the base policy shipped with this package. */
  model_name_or_path: z.string().nullable().default(null),
  /** `model`: the folder's own chat template; a folder without one is refused. `chatml`: ours in its place. */
  chat_template: z.enum(['model', 'chatml']).default('model'),
  /** Training keeps the inputs of layers alone and computes each layer twice: the same gradients, bit for bit, in less memory. */
  gradient_checkpointing: z.boolean().default(false),
  /** Distillation and policy optimisation train a LoRA adapter and leave the model as it is; pretraining trains all weights. */
  use_peft: z.boolean().default(false),
  /** How the frozen weights beside an adapter are kept: 4, 2, 1.06 and 0.56 bytes each; what is trained is f32. */
  dtype: z.enum(['f32', 'f16', 'int8', 'int4']).default('f32'),
  lora_r: count.default(16),
  lora_alpha: positive.default(32),
  /** Acts in distillation; policy optimisation drops nothing, so that the ratio starts at 1. */
  lora_dropout: fraction.lt(1).default(0),
  /** Projections of every layer, or ends of their paths. */
  lora_target_modules: z
    .array(z.string().min(1))
    .min(1)
    .default(['q_proj', 'k_proj', 'v_proj', 'o_proj', 'gate_proj', 'up_proj', 'down_proj']),
});

const pretrain = z.strictObject({
  /** Qwen2 architecture; [d] 3.3 million parameters: f16 safetensors stay under 8 MB, wide and shallow runs fastest on a CPU. */
  vocab_size: count.default(1408),
  hidden_size: count.default(256),
  intermediate_size: count.default(704),
  num_hidden_layers: count.default(4),
  num_attention_heads: count.default(4),
  num_key_value_heads: count.default(2),
  max_position_embeddings: count.default(2048),
  rope_theta: positive.default(10000),
  /** [d] small models take, and want, large rates. */
  learning_rate: positive.default(2e-3),
  lr_scheduler_type: schedule.default('cosine'),
  warmup_ratio: fraction.default(0.03),
  weight_decay: nonNegative.default(0.1),
  max_grad_norm: positive.default(1),
  max_steps: count.default(1600),
  /** Prompts per optimiser step, each seen once, most with four completions [d: small steps, many of them]. */
  groups_per_step: count.default(8),
});

const expert = z.strictObject({
  /** Whose attention guides: ConCare [a], or GRU, AdaCare or logistic regression in its place [d]. */
  kind: z.enum(['concare', 'gru', 'adacare', 'logistic']).default('concare'),
  hidden_size: count.default(128), // [a] ConCare
  num_heads: count.default(4), // [a]
  ffn_size: count.default(64), // [a]
  dropout: fraction.lt(1).default(0.1), // [a] inside the FFN
  learning_rate: positive.default(1e-3), // [a]
  weight_decay: nonNegative.default(0.01), // [d] AdamW's usual value
  batch_size: count.default(256), // [a]
  num_epochs: count.default(50), // [a]
  patience: count.default(5), // [a] epochs without a better validation AUROC
  decov: nonNegative.default(10), // [a] weight of the DeCov loss
  max_grad_norm: positive.default(1), // [d]
  /** Attention is averaged over so many seeds; [d] a softmax over 74 nearly equal tokens is flat. */
  ensemble: count.default(5),
  /** K, size of C_exp; [d] 10 of TJH's 73 labs, 5 of MIMIC-IV's or the synthetic cohort's 17. */
  attention_top_k: count.default(10),
});

const mcts = z.strictObject({
  /** Train patients searched; null = all. [d] search is the costly half of Stage 1. */
  num_cases: count.nullable().default(null),
  num_simulations: count.default(10), // [a] rollouts per tree
  num_children: count.default(3), // [a]
  max_depth: count.default(5), // [a] steps on a path, the forced final one included
  exploration: nonNegative.default(1), // [a] w of the child score
  temperature: positive.default(1.2), // [a]
  top_p: probabilityMass.default(0.8), // [a]
  /** Tokens of one (sub-question, answer) step; [d] the generated steps are shorter. */
  max_step_tokens: count.default(64),
  /** Inner node reward = w usefulness + (1 - w) self-score [a]. */
  usefulness_weight: fraction.default(0.4),
  /** Trees advanced together by one batched generation, fewer where the key-value cache has no room [d]. */
  batch_size: count.default(64),
});

const sft = z.strictObject({
  learning_rate: positive.default(1e-4), // [d] LoRA's rate; full training of a small model stands in the presets
  lr_scheduler_type: schedule.default('cosine'), // [d]
  warmup_ratio: fraction.default(0.03), // [d]
  weight_decay: nonNegative.default(0), // [d] two epochs cannot overfit by weight size
  max_grad_norm: positive.default(1), // [d]
  num_train_epochs: positive.default(2), // [d]
  /** Trajectories per optimiser step, whatever fits at once [d]. */
  train_batch_size: count.default(32),
});

const rl = z.strictObject({
  num_generations: z.int().min(2).default(8), // [d] G; the paper's value could not be recovered
  prompts_per_step: count.default(16), // [d]
  max_steps: count.default(100), // [d]
  /** Optimiser passes over one batch of rollouts, and parts per pass. One update in all leaves the clip without effect. */
  num_iterations: count.default(1), // [d]
  mini_batches: count.default(2), // [d] the smallest number with which the adaptive clip acts
  learning_rate: positive.default(1e-5), // [d] LoRA's rate; 1e-6 for full training of a 7B model
  lr_scheduler_type: schedule.default('constant'), // [d]
  warmup_ratio: fraction.default(0), // [d]
  weight_decay: nonNegative.default(0), // [d]
  max_grad_norm: positive.default(1), // [d]
  /** Lower clip, and the upper one of `fixed` unless `epsilon_high` is set [d: 0.2, PPO]. */
  epsilon: fraction.default(0.2),
  /** Upper clip of `fixed`; null = `epsilon`; 0.28 is DAPO's. */
  epsilon_high: positive.nullable().default(null),
  clip_mode: z.enum(['fixed', 'entropy_adaptive']).default('entropy_adaptive'), // [p]
  epsilon_high_min: positive.default(0.2), // [p]
  epsilon_high_max: positive.default(0.4), // [p]
  /** Weight of KL against the Stage-1 policy [d: none]; GRPO baseline 0.001. */
  beta: nonNegative.default(0),
  /** `dapo`: mean over the tokens of the batch [d]; `grpo`: mean per completion, then over completions. */
  loss_type: z.enum(['dapo', 'grpo']).default('dapo'),
  scale_rewards: z.boolean().default(true), // [p] A = (R - mean) / (std + 1e-6)
  /** `reward.lambda` of this stage alone; null = the same [p]. */
  lambda: fraction.nullable().default(null),
  temperature: positive.default(1), // [d] rollouts are drawn from the policy that is trained
  top_p: probabilityMass.default(1), // [d] the same
  /** 0 = off. */
  top_k: index.default(0),
  max_completion_length: count.default(1024), // [d]
  /**
   * DAPO's dynamic sampling: groups of equal rewards are left out of the loss, and prompts are sampled until the step is full, in at most
   * so many rounds; 0 = off [d: not part of EAG-RL].
   */
  dynamic_sampling: index.default(0),
  /** DAPO's soft over-long penalty: tokens before `max_completion_length` over which the reward falls by 1; 0 = off [d: likewise]. */
  soft_punish_cache: index.default(0),
  /** Train prompts drawn 1:1 by outcome [a]. */
  balance_classes: z.boolean().default(true),
});

const reward = z.strictObject({
  /** `paper`: lambda R_cls + (1 - lambda) R_att; `repo`: R_cls + 0.1 R_att, the authors' repository. */
  preset: z.enum(['paper', 'repo']).default('paper'),
  lambda: fraction.default(0.6), // [p]
  beta: nonNegative.default(0.5), // [a] bonus for distance from 0.5 on the right side
});

const evaluation = z.strictObject({
  num_bootstrap: z.int().min(2).default(1000), // [p]
  /** 0 = greedy. [d] one greedy answer; a sampled one needs more of them to be as steady. */
  temperature: nonNegative.default(0),
  top_p: probabilityMass.default(1),
  /** Answers per patient; their probabilities are averaged [d]. */
  num_samples: count.default(1),
  batch_size: count.default(64), // [d] fewer where the key-value cache has no room
  max_completion_length: count.default(1024), // [d]
});

const checkpoint = z.strictObject({
  /** Optimiser steps between checkpoints [d]; a stage's end always writes one. */
  every_steps: count.default(10),
});

/** Nested sections are built from their own defaults, so `{}` is a whole config. */
export const configSchema = z.strictObject({
  /** A config shipped with the package (`demo`, `mimic4`, `pretrain`, `quick`, `quick_other`, `smoke`, `tjh`, `tjh_matrix`) that this one builds on. */
  preset: z.string().nullable().default(null),
  run_name: z
    .string()
    .regex(/^[A-Za-z0-9][A-Za-z0-9._-]*$/, 'a name of letters, digits, dot, dash and underscore')
    .default('run'),
  output_dir: z.string().min(1).default('outputs'),
  /** 32 bits: half of the key of every random draw on a device. */
  seed: index.max(2 ** 32 - 1).default(42), // [a]
  /** `eagrl reproduce`: a config whose `data` is another cohort, for training on one and testing on the other [p: MIMIC-IV to TJH]. */
  transfer_config: z.string().nullable().default(null),
  device: z.enum(['auto', 'webgpu', 'wasm', 'webgpu-software', 'reference']).default('auto'),
  data: data.prefault({}),
  prompt: prompt.prefault({}),
  model: model.prefault({}),
  pretrain: pretrain.prefault({}),
  expert: expert.prefault({}),
  mcts: mcts.prefault({}),
  sft: sft.prefault({}),
  rl: rl.prefault({}),
  reward: reward.prefault({}),
  eval: evaluation.prefault({}),
  checkpoint: checkpoint.prefault({}),
});

/** A resolved run: every key present. */
export type Config = z.infer<typeof configSchema>;
