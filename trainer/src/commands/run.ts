/** eagrl run, demo and the single stages: one pipeline, cut to the phases asked for. */
import type { Command } from 'commander';
import type { Config } from '../config/schema.ts';
import { renderTable } from '../report/terminal_table.ts';
import { ConfigError } from '../util/errors.ts';
import { type ConfigFlags, isDryRun, resolveFlags, withConfig } from './config_options.ts';
import { interruptible } from './interrupt.ts';
import { loadStage, PHASES, type Phase } from './stages.ts';

interface RunFlags extends ConfigFlags {
  readonly resume?: boolean;
  readonly clean?: boolean;
  readonly phases?: string;
}

function parsePhases(text: string | undefined): readonly Phase[] | null {
  if (text === undefined) return null;
  return text.split(',').map((name) => {
    const phase = PHASES.find((known) => known === name.trim());
    if (phase === undefined) throw new ConfigError(`--phases: no phase ${name}; expected some of ${PHASES.join(',')}`);
    return phase;
  });
}

/** The command that goes on with the phases that were asked for; null: all but pretrain. */
function resumeHint({ output_dir, run_name }: Pick<Config, 'output_dir' | 'run_name'>, phases: readonly Phase[] | null): string {
  const [command, flag] = phases === null ? ['run', ''] : phases.length === 1 ? [phases[0], ''] : ['run', ` --phases ${phases.join(',')}`];
  return `go on with: eagrl ${command} --config ${output_dir}/${run_name}/configs/resolved.yaml${flag} --resume`;
}

async function runPipeline(config: Config, flags: RunFlags, phases: readonly Phase[] | null): Promise<void> {
  if (flags.resume && flags.clean) throw new ConfigError('--resume and --clean exclude each other; keep one');
  if (isDryRun(flags, config)) return;
  const summary = await interruptible(resumeHint(config, phases), async (signal) => {
    const { runPipeline: run } = await loadStage('pipeline');
    return run(config, { resume: flags.resume ?? false, clean: flags.clean ?? false, signal, phases });
  });
  if (summary === null) return;
  process.stdout.write(flags.json ? `${JSON.stringify(summary)}\n` : `\n${renderTable(summary, config.run_name)}\n`);
}

function withRun(command: Command): Command {
  return withConfig(command)
    .option('--resume', 'go on with the run in the folder; the result equals an unbroken run')
    .option('--clean', 'remove the run in the folder first');
}

const single: readonly { readonly phase: Phase; readonly description: string }[] = [
  { phase: 'pretrain', description: 'train the base policy on generated clinical text' },
  { phase: 'expert', description: 'train the experts and read their attention' },
  { phase: 'mcts', description: 'Stage 1: search reasoning trajectories of train patients' },
  { phase: 'sft', description: 'Stage 1: distil the trajectories into the policy' },
  { phase: 'rl', description: 'Stage 2: attention-aligned policy optimisation' },
  { phase: 'eval', description: 'evaluate every predictor of the run on the test patients' },
];

export function registerRun(program: Command): void {
  withRun(program.command('run').description('the whole of EAG-RL: expert, search, distillation, policy optimisation, evaluation'))
    .option('--phases <list>', `run some phases only, e.g. rl,eval; of ${PHASES.join(',')}`)
    .action((flags: RunFlags, command: Command) => runPipeline(resolveFlags(flags, command.args), flags, parsePhases(flags.phases)));
  withRun(
    program.command('demo').description('the whole of EAG-RL on a generated cohort, in minutes (configs/demo.yaml, starting over)'),
  ).action((flags: RunFlags, command: Command) =>
    runPipeline(resolveFlags(flags, command.args, 'demo'), { ...flags, clean: flags.clean ?? flags.resume !== true }, null),
  );
  for (const { phase, description } of single) {
    withRun(program.command(phase).description(description)).action((flags: RunFlags, command: Command) =>
      runPipeline(resolveFlags(flags, command.args), flags, [phase]),
    );
  }
}
