/** From layers of plain objects to one checked config. Pure: files are read in load.ts. */
import { z } from 'zod';
import { didYouMean } from '../util/did_you_mean.ts';
import { ConfigError } from '../util/errors.ts';
import { type Config, configSchema } from './schema.ts';

/** A parsed YAML document or override tree. */
export type ConfigLayer = { readonly [key: string]: unknown };

const sections = Object.entries(configSchema.shape).flatMap(([name, schema]): [string, z.ZodObject][] => {
  const inner = schema instanceof z.ZodPrefault ? schema.unwrap() : schema;
  return inner instanceof z.ZodObject ? [[name, inner]] : [];
});
const topKeys = Object.keys(configSchema.shape);
const dottedKeys = sections.flatMap(([name, section]) => Object.keys(section.shape).map((key) => `${name}.${key}`));

/** Every key a config may hold, dotted: `seed`, `rl.learning_rate`, ... */
export const CONFIG_KEYS: readonly string[] = [...topKeys.filter((key) => !sections.some(([name]) => name === key)), ...dottedKeys];

function isLayer(value: unknown): value is ConfigLayer {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** `over` wins key by key; sections are merged, values replaced. */
export function mergeLayers(base: ConfigLayer, over: ConfigLayer): ConfigLayer {
  const merged: Record<string, unknown> = { ...base };
  for (const [key, value] of Object.entries(over)) {
    const before = merged[key];
    merged[key] = isLayer(before) && isLayer(value) ? mergeLayers(before, value) : value;
  }
  return merged;
}

/** The message for a key that does not exist, with the nearest one that does: by name, else by the last part in another section. */
export function unknownKeyMessage(key: string, where: string): string {
  const candidates = key.includes('.') ? CONFIG_KEYS : [...CONFIG_KEYS, ...sections.map(([name]) => name)];
  const last = key.slice(key.lastIndexOf('.') + 1);
  const elsewhere = CONFIG_KEYS.filter((known) => known.endsWith(`.${last}`) || known === last);
  const near = elsewhere.length > 0 ? elsewhere.join(' or ') : didYouMean(key, candidates);
  return `${where}: unknown key ${key}${near === null ? '; eagrl run --dry-run lists all' : `; did you mean ${near}?`}`;
}

function dotted(path: readonly PropertyKey[]): string {
  return path.map(String).join('.');
}

function describe(issue: z.core.$ZodIssue, layer: ConfigLayer, where: string): string {
  if (issue.code === 'unrecognized_keys') {
    return unknownKeyMessage(dotted([...issue.path, issue.keys[0]]), where);
  }
  let got: unknown = layer;
  for (const key of issue.path) got = isLayer(got) ? got[String(key)] : undefined;
  return `${where}: ${dotted(issue.path)}: ${issue.message}; got ${JSON.stringify(got)}`;
}

/** What single keys cannot say. */
function checkTogether(config: Config, where: string): void {
  const { data, model, rl, expert, pretrain } = config;
  if (data.kind === 'tjh' && (data.path === null || data.split === null)) {
    throw new ConfigError(
      `${where}: data.kind tjh needs data.path (the .xlsx) and data.split (the ids); pass --data.path FILE --data.split FILE`,
    );
  }
  if (data.kind === 'mimic4' && data.path === null) {
    throw new ConfigError(`${where}: data.kind mimic4 needs data.path (the folder with hosp/ and icu/); pass --data.path FOLDER`);
  }
  if (data.kind === 'meds' && data.path === null) {
    throw new ConfigError(
      `${where}: data.kind meds needs data.path (the folder with data/, metadata/ and tasks/); pass --data.path FOLDER`,
    );
  }
  if (data.task === 'readmission' && data.kind !== 'mimic4' && data.kind !== 'meds') {
    throw new ConfigError(`${where}: data.task readmission needs data.kind mimic4 or meds; ${data.kind} knows mortality alone`);
  }
  if (data.horizon_days !== null && (data.task !== 'mortality' || !['tjh', 'mimic4'].includes(data.kind))) {
    throw new ConfigError(
      `${where}: data.horizon_days counts back from death or discharge: mortality of tjh or mimic4; leave it null here`,
    );
  }
  for (const key of ['path', 'split'] as const) {
    if (data.kind === 'synthetic' && data[key] !== null) {
      throw new ConfigError(
        `${where}: data.${key} is given, and data.kind synthetic reads no file: its patients are generated; ` +
          'set data.kind tjh, mimic4 or meds, or take a preset such as --config configs/tjh.yaml',
      );
    }
  }
  if (data.min_visits !== 1 && data.kind !== 'tjh') {
    throw new ConfigError(
      `${where}: data.min_visits ${data.min_visits} is a rule of data.kind tjh; ${data.kind} keeps every patient: leave it 1`,
    );
  }
  if (data.max_stays !== null && (data.kind !== 'mimic4' || data.split !== null)) {
    throw new ConfigError(
      `${where}: data.max_stays ${data.max_stays} draws stays of data.kind mimic4 without data.split; ` +
        `${data.kind === 'mimic4' ? 'the stays of data.split are all used: name fewer there' : `${data.kind} has no stays`}, and leave it null`,
    );
  }
  if (data.val_fraction + data.test_fraction >= 1) {
    throw new ConfigError(
      `${where}: data.val_fraction ${data.val_fraction} and data.test_fraction ${data.test_fraction} leave nobody to train on; lower them`,
    );
  }
  if (model.dtype !== 'f32' && !model.use_peft) {
    throw new ConfigError(
      `${where}: model.dtype ${model.dtype} keeps weights that cannot be trained; set model.use_peft true, or leave it f32`,
    );
  }
  if (rl.epsilon_high_min > rl.epsilon_high_max) {
    throw new ConfigError(
      `${where}: rl.epsilon_high_min ${rl.epsilon_high_min} is above rl.epsilon_high_max ${rl.epsilon_high_max}; swap them`,
    );
  }
  if (rl.mini_batches > rl.prompts_per_step) {
    throw new ConfigError(
      `${where}: rl.mini_batches ${rl.mini_batches} exceeds rl.prompts_per_step ${rl.prompts_per_step}, and the completions of a prompt stay ` +
        `together; lower it to ${rl.prompts_per_step}, and take more updates by rl.num_iterations`,
    );
  }
  if (rl.soft_punish_cache >= rl.max_completion_length) {
    throw new ConfigError(
      `${where}: rl.soft_punish_cache ${rl.soft_punish_cache} leaves no unpunished length below rl.max_completion_length ${rl.max_completion_length}; lower it`,
    );
  }
  if (expert.hidden_size % expert.num_heads !== 0) {
    throw new ConfigError(`${where}: expert.hidden_size ${expert.hidden_size} is no multiple of expert.num_heads ${expert.num_heads}`);
  }
  if (pretrain.hidden_size % pretrain.num_attention_heads !== 0 || pretrain.num_attention_heads % pretrain.num_key_value_heads !== 0) {
    throw new ConfigError(
      `${where}: pretrain needs hidden_size a multiple of num_attention_heads, and that a multiple of num_key_value_heads; ` +
        `got ${pretrain.hidden_size}, ${pretrain.num_attention_heads}, ${pretrain.num_key_value_heads}`,
    );
  }
}

/**
 * Checks one merged layer and fills in the defaults.
 * @throws ConfigError naming the first wrong key, what was expected, what was found, and the nearest right key.
 */
export function resolveConfig(layer: ConfigLayer, where = 'config'): Config {
  const result = configSchema.safeParse(layer);
  if (!result.success) {
    const issues = result.error.issues;
    const unknown = issues.find((issue) => issue.code === 'unrecognized_keys');
    throw new ConfigError(describe(unknown ?? issues[0], layer, where));
  }
  checkTogether(result.data, where);
  return result.data;
}

/** True when the key holds text, so that `--run_name 12` stays text. */
export function isTextKey(key: string): boolean {
  let schema: unknown = configSchema;
  for (const part of key.split('.')) {
    if (schema instanceof z.ZodPrefault) schema = schema.unwrap();
    schema = schema instanceof z.ZodObject ? schema.shape[part] : undefined;
  }
  while (schema instanceof z.ZodDefault || schema instanceof z.ZodNullable) schema = schema.unwrap();
  return schema instanceof z.ZodString;
}

/** The value of a dotted key. */
export function configValue(config: Config, key: string): unknown {
  return key.split('.').reduce<unknown>((value, part) => (isLayer(value) ? value[part] : undefined), config);
}

/** Dotted keys whose values differ between two configs. */
export function differingKeys(a: Config, b: Config): string[] {
  return CONFIG_KEYS.filter((key) => JSON.stringify(configValue(a, key)) !== JSON.stringify(configValue(b, key)));
}
