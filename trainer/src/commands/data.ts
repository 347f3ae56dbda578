/** eagrl data prepare | validate | export | generate | inspect. */
import type { Command } from 'commander';
import { ConfigError } from '../util/errors.ts';
import { type ConfigFlags, isDryRun, resolveFlags, withConfig } from './config_options.ts';
import { loadStage } from './stages.ts';

function print(lines: readonly string[], json: boolean | undefined): void {
  process.stdout.write(json ? `${JSON.stringify(lines)}\n` : `${lines.join('\n')}\n`);
}

interface GenerateFlags {
  readonly out: string;
  readonly kind: string;
  readonly stays: string;
  readonly rowsPerStay: string;
  readonly seed: string;
  readonly plain?: boolean;
  readonly json?: boolean;
}

function wholeNumber(flag: string, text: string): number {
  const value = Number(text);
  if (!Number.isSafeInteger(value) || value < 0) throw new ConfigError(`${flag}: expected a whole number from 0, got ${text}`);
  return value;
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
  withConfig(data.command('export').description('write the cohort as a folder of another standard'))
    .requiredOption('-o, --out <folder>', 'folder to write; must not exist')
    .option('--format <format>', 'meds: the Medical Event Data Standard', 'meds')
    .action(async (flags: ConfigFlags & { readonly out: string; readonly format: string }, command: Command) => {
      if (flags.format !== 'meds') throw new ConfigError(`--format: expected meds, got ${flags.format}`);
      const config = resolveFlags(flags, command.args);
      if (!isDryRun(flags, config)) print(await (await loadStage('data')).exportData(config, flags.out), flags.json);
    });
  data
    .command('generate')
    .description('write a folder in the layout of MIMIC-IV with generated patients, of any size')
    .requiredOption('-o, --out <folder>', 'folder to write; must not exist')
    .option('--kind <kind>', 'layout: mimic4', 'mimic4')
    .option('--stays <n>', 'ICU stays', '1000')
    .option('--rows-per-stay <n>', 'chart rows of a stay, about; MIMIC-IV has some 3,500', '500')
    .option('--seed <n>', 'the same seed writes the same files', '0')
    .option('--plain', 'write .csv instead of .csv.gz')
    .option('--json', 'counts as one JSON line on stdout')
    .action(async (flags: GenerateFlags) => {
      if (flags.kind !== 'mimic4') throw new ConfigError(`--kind: expected mimic4, got ${flags.kind}`);
      const { generateMimicFolder } = await import('../data/mimic_synthetic.ts');
      const counts = await generateMimicFolder({
        out: flags.out,
        stays: wholeNumber('--stays', flags.stays),
        rowsPerStay: wholeNumber('--rows-per-stay', flags.rowsPerStay),
        seed: wholeNumber('--seed', flags.seed),
        gzip: flags.plain !== true,
      });
      const line = `wrote ${flags.out}: ${counts.patients} patients, ${counts.admissions} admissions, ${counts.stays} ICU stays, ${counts.chartRows} chart rows`;
      process.stdout.write(flags.json ? `${JSON.stringify(counts)}\n` : `${line}\n`);
    });
  withConfig(data.command('inspect').description('show one training sample as the model sees it, trained tokens marked'))
    .option('--index <n>', 'which training sample, from 0', '0')
    .action(async (flags: ConfigFlags & { readonly index: string }, command: Command) => {
      const index = wholeNumber('--index', flags.index);
      const config = resolveFlags(flags, command.args);
      if (isDryRun(flags, config)) return;
      const text = await (await loadStage('data')).inspectData(config, index);
      process.stdout.write(flags.json ? `${JSON.stringify({ index, text })}\n` : `${text}\n`);
    });
}
