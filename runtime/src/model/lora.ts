/**
 * Low-rank adapters (LoRA, Hu et al. 2021, arXiv 2106.09685): a projection y = W x + b becomes W x + b + (alpha / r) B A x, with W and b
 * frozen, A (r, in), B (out, r). Names and files are PEFT's.
 */
import type { ParamSpec } from '../params.ts';
import { streamOf, uniforms } from '../rng.ts';
import { sizeOf } from '../tensor.ts';
import { ModelConfigError } from './config.ts';

/** Projections that an adapter may sit on: all matrices of a layer. */
export const LORA_MODULES = ['q_proj', 'k_proj', 'v_proj', 'o_proj', 'gate_proj', 'up_proj', 'down_proj'] as const;

export interface LoraConfig {
  readonly r: number;
  readonly alpha: number;
  /** Share of an adapter's inputs that training drops; 0 drops none. */
  readonly dropout: number;
  /** Names or ends of paths: `q_proj`, or `layers.0.self_attn.q_proj` for one layer alone. */
  readonly target_modules: readonly string[];
}

/** Where the two matrices of the projection `path` (`model.layers.0.self_attn.q_proj`) stand in an adapter file. */
export const loraNames = (path: string): { readonly a: string; readonly b: string } => ({
  a: `base_model.model.${path}.lora_A.weight`,
  b: `base_model.model.${path}.lora_B.weight`,
});

/** The projections of a model that an adapter sits on, in the order of the checkpoint. @throws ModelConfigError for a target that is none. */
export function loraPaths(
  model: readonly ParamSpec[],
  { target_modules: targets }: LoraConfig,
): { path: string; out: number; in: number }[] {
  const all = model.flatMap(({ name, shape }) => {
    const path = name.slice(0, -'.weight'.length);
    return LORA_MODULES.some((m) => name.endsWith(`.${m}.weight`)) ? [{ path, out: shape[0], in: shape[1] }] : [];
  });
  const matches = (path: string, target: string): boolean => path === target || path.endsWith(`.${target}`);
  const stray = targets.find((t) => !all.some(({ path }) => matches(path, t)));
  if (stray !== undefined || targets.length === 0) {
    throw new ModelConfigError(
      `lora: target_modules names ${stray === undefined ? 'nothing' : `"${stray.slice(0, 80)}"`}; expected some of ${LORA_MODULES.join(', ')}`,
    );
  }
  return all.filter(({ path }) => targets.some((t) => matches(path, t)));
}

/** Names, shapes and decay of an adapter's parameters; `model`: those of the model that it sits on. */
export function loraParams(model: readonly ParamSpec[], lora: LoraConfig): ParamSpec[] {
  return loraPaths(model, lora).flatMap(({ path, out, in: width }) => [
    { name: loraNames(path).a, shape: [lora.r, width], decay: true },
    { name: loraNames(path).b, shape: [out, lora.r], decay: true },
  ]);
}

/** PEFT's start: A uniform within 1 / sqrt(in) (Kaiming with a = sqrt(5)), B zero, so that the adapter changes nothing yet. */
export function initLora(specs: readonly ParamSpec[], seed: number): Map<string, Float32Array> {
  return new Map(
    specs.map(({ name, shape }) => {
      const bound = 1 / Math.sqrt(shape[1]);
      const length = sizeOf(shape);
      return [name, name.endsWith('lora_A.weight') ? uniforms(seed, streamOf(name), length, -bound, bound) : new Float32Array(length)];
    }),
  );
}

/** Keys of adapter_config.json that, set to something else than given here, change the arithmetic in ways that are not implemented. */
const UNSUPPORTED: Readonly<Record<string, readonly unknown[]>> = {
  bias: ['none'],
  fan_in_fan_out: [false],
  use_rslora: [false],
  use_dora: [false],
  lora_bias: [false],
  use_bdlora: [false],
  alora_invocation_tokens: [],
  modules_to_save: [],
  layers_to_transform: [],
  layers_pattern: [],
  layer_replication: [],
  exclude_modules: [],
  target_parameters: [],
  trainable_token_indices: [],
  megatron_config: [],
  arrow_config: [],
};

/**
 * Starts of an adapter that leave the base weights alone. The others (pissa, olora, corda, loftq, lora_ga) change them when the adapter is made
 * (`update_layer` in PEFT's tuners/lora/layer.py): beside the plain base such an adapter would count twice what was taken out of it.
 */
const PLAIN_STARTS: readonly unknown[] = [true, false, 'gaussian', 'eva', 'orthogonal'];

/**
 * Reads a parsed adapter_config.json.
 * @throws ModelConfigError naming the key, what was expected and what was found.
 */
export function parseAdapterConfig(json: unknown): LoraConfig {
  if (typeof json !== 'object' || json === null) throw new ModelConfigError('adapter_config: expected an object');
  const raw = json as Readonly<Record<string, unknown>>;
  const refuse = (key: string, expected: string): never => {
    throw new ModelConfigError(`adapter_config: ${key} is ${(JSON.stringify(raw[key]) ?? 'missing').slice(0, 80)}; expected ${expected}`);
  };
  if (raw['peft_type'] !== 'LORA') refuse('peft_type', '"LORA"');
  for (const [key, allowed] of Object.entries(UNSUPPORTED)) {
    const value = raw[key] ?? undefined;
    const empty = typeof value === 'object' && Object.keys(value as object).length === 0;
    if (value !== undefined && !empty && !allowed.includes(value)) refuse(key, allowed.length > 0 ? JSON.stringify(allowed[0]) : 'null');
  }
  if (!PLAIN_STARTS.includes(raw['init_lora_weights'] ?? true)) {
    refuse(
      'init_lora_weights',
      'true: this start changes the base weights; have PEFT convert the adapter (save_pretrained with path_initial_model_for_weight_conversion)',
    );
  }
  for (const key of ['rank_pattern', 'alpha_pattern']) if (Object.keys((raw[key] as object | null) ?? {}).length > 0) refuse(key, '{}');
  const { r, lora_alpha: alpha, lora_dropout: dropout = 0, target_modules: targets } = raw;
  if (!Number.isInteger(r) || (r as number) < 1) refuse('r', 'a whole number above 0');
  if (typeof alpha !== 'number' || !(alpha > 0)) refuse('lora_alpha', 'a number above 0');
  if (typeof dropout !== 'number' || !(dropout >= 0 && dropout < 1)) refuse('lora_dropout', 'a number in [0, 1)');
  const modules: readonly unknown[] = targets === 'all-linear' ? LORA_MODULES : Array.isArray(targets) ? targets : [];
  if (modules.length === 0 || modules.some((m) => typeof m !== 'string')) refuse('target_modules', `some of ${LORA_MODULES.join(', ')}`);
  return { r: r as number, alpha: alpha as number, dropout: dropout as number, target_modules: modules as readonly string[] };
}

/** adapter_config.json as PEFT reads it. `base`: the name or path of the model that it belongs to. */
export const adapterConfig = (lora: LoraConfig, base: string): Readonly<Record<string, unknown>> => ({
  peft_type: 'LORA',
  task_type: 'CAUSAL_LM',
  base_model_name_or_path: base,
  r: lora.r,
  lora_alpha: lora.alpha,
  lora_dropout: lora.dropout,
  target_modules: lora.target_modules,
  bias: 'none',
  fan_in_fan_out: false,
  use_rslora: false,
  use_dora: false,
  inference_mode: true,
});
