/** eagrl plan: the memory of a model under a run's workload, from config.json alone. (Node edge.) */
import { existsSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import {
  type DeviceInfo,
  type MemoryPlan,
  openDevice,
  parseTransformerConfig,
  planMemory,
  showBytes,
  type TransformerConfig,
  verdict,
  WEIGHT_TYPES,
  type WeightType,
  type Workload,
} from '@eagrl/runtime';
import type { Config } from '../config/schema.ts';
import { treeSize } from '../mcts/search.ts';
import { refused } from '../model_source.ts';
import { configuredAdapter } from '../run/adapter_folder.ts';
import { ConfigError } from '../util/errors.ts';
import { patientsAtOnce } from './evaluate.ts';
import { checkContext, pathTokens, tokensPerPass } from './lengths.ts';

/** What the phases of a run ask of a device, prompts being at most `promptLength` tokens. */
export function workloadOf(config: Config, promptLength: number, packing: boolean): Workload {
  const { rl, sft, mcts, eval: evaluation } = config;
  const completionLength = rl.max_completion_length;
  const perGroup = promptLength + rl.num_generations * completionLength;
  const perStep = Math.max(
    Math.ceil(rl.prompts_per_step / rl.mini_batches) * perGroup,
    sft.train_batch_size * (promptLength + pathTokens(config)),
  );
  const tokens = Math.min(tokensPerPass(config, promptLength), perStep);
  const tree = treeSize(mcts);
  return {
    lora: configuredAdapter(config),
    dtype: config.model.dtype,
    packing,
    gradientCheckpointing: config.model.gradient_checkpointing,
    tokensPerPass: tokens,
    targetsPerPass: Math.min(tokens, Math.ceil((tokens * rl.num_generations * completionLength) / perGroup)),
    prompts: rl.prompts_per_step,
    numGenerations: rl.num_generations,
    promptLength,
    completionLength,
    others: [
      {
        prompts: mcts.batch_size,
        promptLength,
        numGenerations: tree.nodes,
        completionLength: tree.tokensPerNode,
        children: mcts.num_children,
      },
      {
        prompts: patientsAtOnce(evaluation),
        promptLength,
        numGenerations: evaluation.num_samples,
        completionLength: evaluation.max_completion_length,
      },
    ],
    reference: rl.beta > 0,
  };
}

export interface PlannedModel {
  readonly full: MemoryPlan;
  /** With the configured model.dtype. */
  readonly lora: MemoryPlan;
  /** Bytes of LoRA training with each model.dtype. */
  readonly loraBytes: Readonly<Record<WeightType, number>>;
}

/** The plan of a run on a device. @throws ModelConfigError when the adapter does not fit the model. */
export const planOfRun = (shape: TransformerConfig, config: Config, promptLength: number, info: DeviceInfo): MemoryPlan =>
  planMemory(shape, workloadOf(config, promptLength, info.backend === 'wasm'), memoryOf(info));

/** Bytes of the device's one memory; undefined where a device has no such thing, or does not say. */
const memoryOf = (info: DeviceInfo | undefined): number | undefined => (info?.backend === 'wasm' ? info.maxBufferBytes : undefined);

/** Plans of full and LoRA training, of a device where one is given. `model`: a folder, or its config.json. @throws ConfigError */
export function planModel(model: string, config: Config, promptLength: number, info?: DeviceInfo): PlannedModel {
  const shape = readShape(model);
  checkContext(config, promptLength, shape.max_position_embeddings);
  const plan = (use_peft: boolean, dtype: WeightType) => {
    const planned = { ...config, model: { ...config.model, use_peft, dtype } };
    return refused('plan', () => planMemory(shape, workloadOf(planned, promptLength, config.device === 'wasm'), memoryOf(info)));
  };
  const loraBytes = Object.fromEntries(WEIGHT_TYPES.map((t) => [t, plan(true, t).bytes])) as Record<WeightType, number>;
  return { full: plan(false, 'f32'), lora: plan(true, config.model.dtype), loraBytes };
}

/** The two plans as a text; with a device, whether they fit it. */
export function planText({ full, lora, loraBytes }: PlannedModel, info?: DeviceInfo): string[] {
  const table = (title: string, plan: MemoryPlan): string[] => [
    `${title}: ${showBytes(plan.bytes)}`,
    ...plan.lines.map((l) => `  ${l.name.padEnd(15)} ${showBytes(l.bytes).padStart(9)}  ${l.how}`),
    `  largest buffer ${showBytes(plan.largest.bytes).padStart(10)}  ${plan.largest.name}, ${plan.largest.how}`,
    ...(info ? [`  ${verdict(plan, info).text}`] : []),
  ];
  const others = WEIGHT_TYPES.map((t) => `${t} ${showBytes(loraBytes[t])}`).join(', ');
  return [...table('full training', full), '', ...table('LoRA (model.use_peft)', lora), `  by model.dtype: ${others}`];
}

/** What `eagrl plan` prints: text, or one line of JSON. A device that is named is opened and asked; `auto` asks none. @throws ConfigError */
export async function planOn(model: string, config: Config, promptLength: number, json: boolean): Promise<string> {
  planModel(model, config, promptLength); // what is wrong with model or config comes before a device
  const info = config.device === 'auto' ? undefined : await infoOf(config.device);
  const plans = planModel(model, config, promptLength, info);
  if (!json) return planText(plans, info).join('\n');
  const judged = (plan: MemoryPlan) => (info ? { ...plan, verdict: verdict(plan, info) } : plan);
  return JSON.stringify({ ...plans, full: judged(plans.full), lora: judged(plans.lora) });
}

async function infoOf(device: Config['device']): Promise<DeviceInfo> {
  const backend = await openDevice({ device });
  await backend.destroy();
  return backend.info;
}

function readShape(model: string): TransformerConfig {
  const file = existsSync(model) && statSync(model).isDirectory() ? join(model, 'config.json') : model;
  if (!existsSync(file)) throw new ConfigError(`plan: no ${file}; give a model folder or its config.json`);
  let json: unknown;
  try {
    json = JSON.parse(readFileSync(file, 'utf8'));
  } catch (error) {
    throw new ConfigError(`plan: ${file} is not JSON (${(error as Error).message})`);
  }
  return refused('plan: config.json', () => parseTransformerConfig(json));
}
