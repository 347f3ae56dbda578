/** The command line as a function of its words. */
import { readFileSync } from 'node:fs';
import { Command, CommanderError } from 'commander';
import { registerChat } from './chat.ts';
import { registerData } from './data.ts';
import { registerEnv } from './env.ts';
import { registerMergeLora } from './merge_lora.ts';
import { registerPlan } from './plan.ts';
import { registerReport } from './report.ts';
import { registerReproduce } from './reproduce.ts';
import { registerRun } from './run.ts';

function makeProgram(): Command {
  const { version } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as { version: string };
  // Sub-commands copy these settings when they are made, so they come first.
  const program = new Command('eagrl')
    .description('EAG-RL (arXiv 2508.13579) on WebGPU and WebAssembly. Research software, not for clinical use.')
    .version(version)
    .enablePositionalOptions()
    .exitOverride();
  registerEnv(program);
  registerRun(program);
  registerData(program);
  registerMergeLora(program);
  registerChat(program);
  registerPlan(program);
  registerReport(program);
  registerReproduce(program);
  return program;
}

/** Errors of packages without exit codes whose messages say what to mend: cohort, device, memory, model files. */
const NAMED_MISTAKES = ['ChatTemplateError', 'DataError', 'DeviceError', 'EngineError', 'ModelConfigError', 'SafetensorsError'];

/** Errors of the user's making carry an exit code, or are known by name. */
function exitCodeOf(error: unknown): number {
  if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2;
  if (!(error instanceof Error)) return 1;
  if ('exitCode' in error && typeof error.exitCode === 'number') return error.exitCode;
  return NAMED_MISTAKES.includes(error.name) ? 2 : 1;
}

/**
 * Runs one command and returns the exit code: 0 done, 1 a fault of ours or of the machine (with its stack), 2 a mistake in config,
 * flags, data or model files, or a device or disk that refuses (one line saying what to do), 130 interrupted.
 * @param words what follows `eagrl` on the command line
 */
export async function main(words: readonly string[]): Promise<number> {
  try {
    await makeProgram().parseAsync([...words], { from: 'user' });
    return 0;
  } catch (error) {
    const code = exitCodeOf(error);
    // Commander has printed its own errors.
    if (error instanceof CommanderError) return code;
    const text = error instanceof Error ? (code === 1 ? (error.stack ?? error.message) : error.message) : String(error);
    process.stderr.write(`eagrl: ${text}\n`);
    return code;
  }
}
