/** eagrl merge-lora. */
import { type Command, Option } from 'commander';
import { type Config, configSchema } from '../config/schema.ts';
import { ConfigError } from '../util/errors.ts';
import { loadStage } from './stages.ts';

interface MergeFlags {
  readonly adapter: string;
  readonly model?: string;
  readonly out: string;
  readonly device: Config['device'];
  readonly maxShardBytes?: string;
}

export function registerMergeLora(program: Command): void {
  program
    .command('merge-lora')
    .description("add a LoRA adapter to its base: a plain Hugging Face folder in the base's dtype")
    .requiredOption('--adapter <folder>', "PEFT's adapter_config.json and adapter_model.safetensors")
    .option('--model <folder>', 'the base model; without it, the folder that adapter_config.json names')
    .requiredOption('--out <folder>', 'where to write; must be new or empty')
    .option('--max-shard-bytes <n>', 'largest weight file, 5e9 by default')
    .addOption(new Option('--device <name>', 'where to merge').choices(configSchema.shape.device.unwrap().options).default('auto'))
    .action(async ({ adapter, model, out, device, maxShardBytes: given }: MergeFlags) => {
      const maxShardBytes = given === undefined ? undefined : Number(given);
      if (maxShardBytes !== undefined && !(maxShardBytes >= 1))
        throw new ConfigError(`--max-shard-bytes: expected a number above 0, got ${given}`);
      const lines = await (await loadStage('merge')).mergeLora({ adapter, model: model ?? null, out, device, maxShardBytes });
      process.stdout.write(`${lines.join('\n')}\n`);
    });
}
