/** eagrl report: draws report.html again from a run folder. */
import { join } from 'node:path';
import type { Command } from 'commander';
import { writeFileAtomic } from '../util/atomic.ts';

interface ReportFlags {
  readonly json?: boolean;
}

export function registerReport(program: Command): void {
  program
    .command('report')
    .description('print the table of a finished run and write its report.html again')
    .argument('<folder>', 'run folder, e.g. outputs/demo')
    .option('--json', 'summary.json as one line')
    .action(async (folder: string, flags: ReportFlags) => {
      const [{ collectReport }, { renderReport }, { renderTable }] = await Promise.all([
        import('../report/collect.ts'),
        import('../report/report.ts'),
        import('../report/terminal_table.ts'),
      ]);
      const data = collectReport(folder);
      const path = join(folder, 'report.html');
      writeFileAtomic(path, renderReport(data));
      process.stdout.write(flags.json ? `${JSON.stringify(data.summary)}\n` : `${renderTable(data.summary, data.runName)}\n\n${path}\n`);
    });
}
