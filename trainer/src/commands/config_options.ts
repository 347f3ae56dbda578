/** The flags all config-reading commands share, and what becomes of them. */
import type { Command } from 'commander';
import { configToYaml, loadConfig, presetNames } from '../config/load.ts';
import type { Config } from '../config/schema.ts';

export interface ConfigFlags {
  readonly config?: string;
  readonly dryRun?: boolean;
  readonly json?: boolean;
}

/** Adds --config, --dry-run, --json, and lets `--section.key value` through to the config. */
export function withConfig(command: Command): Command {
  return command
    .option(
      '-c, --config <file>',
      `YAML file, or a shipped one: ${presetNames()
        .map((name) => `configs/${name}.yaml`)
        .join(', ')}`,
    )
    .option('--dry-run', 'print the resolved config and stop')
    .option('--json', 'results as one JSON line on stdout')
    .allowUnknownOption()
    .allowExcessArguments()
    .usage('[options] [--<section>.<key> <value> ...]')
    .addHelpText(
      'after',
      '\nEvery config key is a flag, kebab or snake case: --rl.learning_rate 1e-5 --run-name a --device wasm. --dry-run lists them all.',
    );
}

/** The resolved config of a command; `preset` underlies it when no file or flag names one. */
export function resolveFlags(flags: ConfigFlags, rest: readonly string[], preset?: string): Config {
  return loadConfig({ path: flags.config, overrides: rest, ...(flags.config === undefined && preset !== undefined ? { preset } : {}) });
}

/** Prints the config when it was all that was asked for. */
export function isDryRun(flags: ConfigFlags, config: Config): boolean {
  if (!flags.dryRun) return false;
  process.stdout.write(flags.json ? `${JSON.stringify(config)}\n` : configToYaml(config));
  return true;
}
