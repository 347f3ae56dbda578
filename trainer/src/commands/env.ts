/** eagrl env: what this machine offers. */
import type { Command } from 'commander';
import { collectEnvironment } from '../run/environment.ts';
import { loadStage } from './stages.ts';

export function registerEnv(program: Command): void {
  program
    .command('env')
    .description('show versions, machine and usable devices')
    .option('--json', 'as one JSON line')
    .action(async (flags: { readonly json?: boolean }) => {
      const environment = collectEnvironment();
      const devices = await (await loadStage('devices')).probeDevices();
      if (flags.json) {
        process.stdout.write(`${JSON.stringify({ ...environment, devices })}\n`);
        return;
      }
      const rows: [string, string][] = [
        ['eagrl', environment.eagrl],
        ['node', `${environment.node} on ${environment.platform}`],
        ['cpu', `${environment.cpu}, ${environment.cores} cores, ${(environment.memory_bytes / 1e9).toFixed(1)} GB`],
        ['commit', environment.commit ?? 'not in a git repository'],
        ...devices.map(({ device, usable, detail }): [string, string] => [device, usable ? detail : `not usable: ${detail}`]),
      ];
      const width = Math.max(...rows.map(([name]) => name.length));
      process.stdout.write(rows.map(([name, value]) => `${name.padEnd(width)}  ${value}\n`).join(''));
    });
}
