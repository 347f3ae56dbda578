/** eagrl plan. */
import type { Command } from 'commander';
import { ConfigError } from '../util/errors.ts';
import { type ConfigFlags, isDryRun, resolveFlags, withConfig } from './config_options.ts';
import { loadStage } from './stages.ts';

interface PlanFlags extends ConfigFlags {
  readonly promptLength: string;
}

export function registerPlan(program: Command): void {
  withConfig(
    program
      .command('plan')
      .description('the memory that training a model takes, full and LoRA, without loading it; with --device, whether it fits'),
  )
    .argument('<model>', 'a model folder, or its config.json')
    .option('--prompt-length <n>', 'tokens of the longest prompt', '512')
    .usage('<model> [options] [--<section>.<key> <value> ...]')
    .action(async (model: string, flags: PlanFlags, command: Command) => {
      const promptLength = Number(flags.promptLength);
      if (!Number.isInteger(promptLength) || promptLength < 1)
        throw new ConfigError(`--prompt-length: expected a whole number above 0, got ${flags.promptLength}`);
      const config = resolveFlags(flags, command.args.slice(1));
      if (isDryRun(flags, config)) return;
      const { planOn } = await loadStage('plan');
      process.stdout.write(`${await planOn(model, config, promptLength, flags.json === true)}\n`);
    });
}
