/** eagrl data prepare | validate | inspect. */
import type { Command } from 'commander';
import { ConfigError } from '../util/errors.ts';
import { type ConfigFlags, isDryRun, resolveFlags, withConfig } from './config_options.ts';
import { loadStage } from './stages.ts';

function print(lines: readonly string[], json: boolean | undefined): void {
  process.stdout.write(json ? `${JSON.stringify(lines)}\n` : `${lines.join('\n')}\n`);
}

export function registerData(program: Command): void {
  const data = program.command('data').description('read, check and show a cohort');
  withConfig(data.command('prepare').description('read or generate the cohort; write its flow table and splits.json')).action(
    async (flags: ConfigFlags, command: Command) => {
      const config = resolveFlags(flags, command.args);
      if (!isDryRun(flags, config)) print(await (await loadStage('data')).prepareData(config), flags.json);
    },
  );
  withConfig(data.command('validate').description('check all a run relies on: columns, units, splits, classes, lengths')).action(
    async (flags: ConfigFlags, command: Command) => {
      const config = resolveFlags(flags, command.args);
      if (!isDryRun(flags, config)) print(await (await loadStage('data')).validateData(config), flags.json);
    },
  );
  withConfig(data.command('inspect').description('show one training sample as the model sees it, trained tokens marked'))
    .option('--index <n>', 'which training sample, from 0', '0')
    .action(async (flags: ConfigFlags & { readonly index: string }, command: Command) => {
      const index = Number(flags.index);
      if (!Number.isInteger(index) || index < 0) throw new ConfigError(`--index: expected a whole number from 0, got ${flags.index}`);
      const config = resolveFlags(flags, command.args);
      if (isDryRun(flags, config)) return;
      const text = await (await loadStage('data')).inspectData(config, index);
      process.stdout.write(flags.json ? `${JSON.stringify({ index, text })}\n` : `${text}\n`);
    });
}
