/**
 * The base policy: a small Qwen2 trained from scratch on generated clinical text (text/corpus.ts), so that nothing needs a download.
 * The corpus knows the answer format, labs, ranges and flags, and no cohort's labels.
 * Command: eagrl pretrain --config configs/pretrain.yaml
 */
import { learningRate, type PromptGroup } from '@eagrl/runtime';
import type { Config } from '../config/schema.ts';
import { LABS } from '../data/lab_dictionary.ts';
import type { Policy } from '../policy.ts';
import { trainTokenizer } from '../text/bpe_train.ts';
import { generateDocumentGroup, generateDocuments } from '../text/corpus.ts';
import { END_OF_TEXT, IM_END, SPECIAL_TOKENS } from '../text/special_tokens.ts';
import type { Tokenizer, TokenizerJson } from '../text/tokenizer.ts';
import { sftStep } from '../train/sft_step.ts';
import { sftReport } from './sft.ts';
import { type TrainingRun, trainSteps } from './train_loop.ts';

/** Documents that the vocabulary is learnt from: beyond a few thousand it no longer changes. */
const TOKENIZER_DOCUMENTS = 8000;
/** Seed offsets, so that the tokenizer's documents and the training ones differ. */
const TOKENIZER_SEED = 1;

/** The tokenizer of a corpus: a function of seed and size alone. */
export function corpusTokenizer(seed: number, vocabSize: number): TokenizerJson {
  const texts = function* () {
    for (const d of generateDocuments({ seed: seed + TOKENIZER_SEED, count: TOKENIZER_DOCUMENTS })) yield d.prompt + d.completion;
  };
  return trainTokenizer(texts(), vocabSize, SPECIAL_TOKENS);
}

/** config.json of the base policy. */
export function baseModelConfig(config: Config['pretrain'], tokenizer: Tokenizer): Record<string, unknown> {
  return {
    architectures: ['Qwen2ForCausalLM'],
    model_type: 'qwen2',
    vocab_size: tokenizer.vocabSize,
    hidden_size: config.hidden_size,
    intermediate_size: config.intermediate_size,
    num_hidden_layers: config.num_hidden_layers,
    num_attention_heads: config.num_attention_heads,
    num_key_value_heads: config.num_key_value_heads,
    max_position_embeddings: config.max_position_embeddings,
    rope_theta: config.rope_theta,
    rms_norm_eps: 1e-6,
    hidden_act: 'silu',
    tie_word_embeddings: true,
    use_sliding_window: false,
    bos_token_id: tokenizer.idOf(END_OF_TEXT),
    eos_token_id: tokenizer.idOf(IM_END),
    torch_dtype: 'float16',
  };
}

/** Labs of a record at most, by how much of the training is done: where to look is learnt on short records first (LOG.md). */
const CURRICULUM = [
  { until: 0.25, maxLabs: 6 },
  { until: 0.45, maxLabs: 12 },
] as const;

/** Groups of one step: a function of (seed, step). A statement is learnt whole, a dialogue's last turn given the rest. */
function stepGroups(tokenizer: Tokenizer, config: Config, step: number): PromptGroup[] {
  const { max_steps: maxSteps, groups_per_step: count } = config.pretrain;
  const start = Uint32Array.of(tokenizer.idOf(END_OF_TEXT));
  const maxLabs = CURRICULUM.find(({ until }) => step < until * maxSteps)?.maxLabs;
  return Array.from({ length: count }, (_, i) => {
    const { prompt, completions } = generateDocumentGroup(config.seed, step * count + i, LABS, maxLabs);
    return { prompt: prompt === '' ? start : tokenizer.encode(prompt), completions: completions.map((c) => tokenizer.encode(c)) };
  });
}

/** Trains `policy` in place for `pretrain.max_steps` steps, from the last checkpoint if there is one. */
export async function pretrain(policy: Policy, config: Config, run: TrainingRun): Promise<void> {
  const { max_steps: maxSteps, ...c } = config.pretrain;
  const options = { weightDecay: c.weight_decay, maxGradNorm: c.max_grad_norm, beta2: 0.95 };
  await trainSteps(policy, run, maxSteps, options, async (learner, step, optimizer) => {
    const started = performance.now();
    const rate = learningRate(c.lr_scheduler_type, c.learning_rate, step, maxSteps, c.warmup_ratio);
    const result = await sftStep(learner, optimizer, stepGroups(policy.tokenizer, config, step), {
      learningRate: rate,
      maxTokens: run.maxTokens,
    });
    return sftReport(result, rate, started);
  });
}
