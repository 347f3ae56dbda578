/** Reads a finished run folder back into the data of its report (Node edge). */
import { existsSync, readFileSync } from 'node:fs';
import { basename, join, resolve } from 'node:path';
import type { Environment } from '../run/environment.ts';
import { readMetrics } from '../run/metrics_logger.ts';
import { ConfigError } from '../util/errors.ts';
import type { ReportData, ReportParts } from './report_data.ts';
import type { Summary } from './summary.ts';

/** @throws ConfigError when the folder is no run, or one that has not reached its evaluation. */
export function collectReport(folder: string): ReportData {
  const read = (name: string): string => {
    const path = join(folder, name);
    if (!existsSync(path)) {
      throw new ConfigError(`report: ${folder} has no ${name}; give the folder of a finished run, or finish it with eagrl run --resume`);
    }
    return readFileSync(path, 'utf8');
  };
  const readJson = <T>(name: string): T => {
    const text = read(name);
    try {
      return JSON.parse(text) as T;
    } catch {
      throw new ConfigError(`report: ${join(folder, name)} is damaged; finish the run again with eagrl run --resume`);
    }
  };
  const summary = readJson<Summary>('summary.json');
  const parts = readJson<ReportParts>('report_data.json');
  const configYaml = read(join('configs', 'resolved.yaml'));
  const environment = readJson<Environment>('env.json');
  const metricsPath = join(folder, 'metrics.jsonl');
  return {
    ...parts,
    runName: basename(resolve(folder)),
    summary,
    metrics: existsSync(metricsPath) ? readMetrics(metricsPath) : [],
    configYaml,
    environment,
  };
}
