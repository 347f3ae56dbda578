/** eagrl reproduce: the experiments of the paper on one cohort, as one resumable matrix. */
import { join } from 'node:path';
import type { Command } from 'commander';
import { ConfigError } from '../util/errors.ts';
import { type ConfigFlags, resolveFlags, withConfig } from './config_options.ts';
import { interruptible } from './interrupt.ts';

interface ReproduceFlags extends ConfigFlags {
  readonly only?: string;
  readonly seeds: string;
  readonly quick?: boolean;
  readonly shard?: string;
  readonly merge?: string | true;
}

/** `2/5`: the second of five parts. @throws ConfigError */
export function parseShard(text: string): { index: number; count: number } {
  const [, index, count] = /^(\d+)\/(\d+)$/.exec(text)?.map(Number) ?? [];
  if (index === undefined || index < 1 || index > count) throw new ConfigError(`--shard: expected i/n with 1 <= i <= n, got ${text}`);
  return { index, count };
}

const list = (text: string): string[] => text.split(',').map((part) => part.trim());

export function registerReproduce(program: Command): void {
  withConfig(program.command('reproduce').description('every method, ablation and robustness cell of the paper: tables, figures, verdicts'))
    .option('--only <cells>', 'some cells, e.g. grpo,dapo; EAG-RL, which all are compared with, always is among them')
    .option('--seeds <n>', 'so many seeds, from `seed` upwards', '1')
    .option('--quick', 'configs/quick.yaml: all cells on generated patients, under 25 minutes on 2 cores')
    .option('--shard <i/n>', 'do part i of n and write no tables; then --merge')
    .option('--merge [folders]', 'do nothing and write the tables from finished parts; run folders of other machines, comma-separated')
    .action(async (flags: ReproduceFlags, command: Command) => {
      if (flags.quick && flags.config !== undefined)
        throw new ConfigError('--quick is a config of its own; leave --config out, or --quick');
      if (flags.shard !== undefined && flags.merge !== undefined) throw new ConfigError('--shard and --merge exclude each other; keep one');
      const seeds = Number(flags.seeds);
      if (!Number.isInteger(seeds) || seeds < 1) throw new ConfigError(`--seeds: expected a whole number from 1, got ${flags.seeds}`);
      // The demo's folder belongs to `eagrl demo`.
      const named = command.args.some((word) => /^--(run[-_]name|preset)\b/.test(word));
      const words = flags.config !== undefined || flags.quick || named ? command.args : [...command.args, '--run_name', 'reproduce'];
      const config = resolveFlags(flags, words, flags.quick ? 'quick' : 'demo');
      const options = {
        only: flags.only === undefined ? null : list(flags.only),
        seeds,
        shard: flags.shard === undefined ? null : parseShard(flags.shard),
        merge: flags.merge === undefined ? null : flags.merge === true ? [] : list(flags.merge),
      };
      const { planReproduction, reproduce } = await import('../reproduce/reproduce.ts');
      if (flags.dryRun) {
        const { cells, nodes } = await planReproduction(config, { ...options, signal: new AbortController().signal });
        const plan = {
          cells: cells.map(({ cell, seed, answers, expert }) => ({ cell: cell.name, seed, node: (answers ?? expert).hash })),
          nodes: nodes.map(({ node, done }) => ({ title: node.title, hash: node.hash, done })),
        };
        const lines = plan.nodes.map(({ title, hash, done }) => `${done ? 'done ' : 'to do'}  ${hash.slice(0, 12)}  ${title}\n`);
        const left = plan.nodes.filter((n) => !n.done).length;
        process.stdout.write(
          flags.json
            ? `${JSON.stringify(plan)}\n`
            : `${lines.join('')}${plan.cells.length} cells, ${plan.nodes.length} nodes, ${left} to do\n`,
        );
        return;
      }
      const resumeHint = 'go on with the same command: what is done is kept';
      const result = await interruptible(resumeHint, (signal) => reproduce(config, { ...options, signal }));
      const folder = join(config.output_dir, config.run_name);
      if (result === null) {
        process.stderr.write(`part ${flags.shard} is done; eagrl reproduce --merge writes the tables once all parts are\n`);
        return;
      }
      if (flags.json) {
        process.stdout.write(`${JSON.stringify(result)}\n`);
        return;
      }
      const { groupTable, markdown } = await import('../reproduce/tables.ts');
      const { GROUPS } = await import('../reproduce/matrix.ts');
      for (const group of GROUPS.filter((g) => result.rows.some((row) => row.group === g))) {
        process.stdout.write(`${markdown(groupTable(result.rows, group))}\n`);
      }
      for (const { claim, decision } of result.verdicts) process.stdout.write(`${decision}: ${claim}\n`);
      process.stdout.write(`\n${join(folder, 'REPRODUCTION.md')}\n`);
    });
}
