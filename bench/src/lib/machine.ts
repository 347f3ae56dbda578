/** The machine card that stands beside every number. */
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { arch, availableParallelism, cpus, platform, totalmem } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

export interface Machine {
  readonly cpu: string;
  readonly cores: number;
  readonly memory_gib: number;
  readonly os: string;
  readonly node: string;
}

/** As the system names it; with family and model where Linux tells them, since a hypervisor may call every generation `AMD EPYC`. */
export function cpuName(model: string, cpuinfo: string): string {
  const [family, number] = ['cpu family', 'model'].map((key) => new RegExp(`^${key}\\s*: (\\d+)$`, 'm').exec(cpuinfo)?.[1]);
  return family === undefined || number === undefined ? model : `${model} (family ${family}, model ${number})`;
}

const CPUINFO = '/proc/cpuinfo';

export const machine = (): Machine => ({
  cpu: cpuName(cpus()[0]?.model.trim() ?? 'unknown', existsSync(CPUINFO) ? readFileSync(CPUINFO, 'utf8') : ''),
  cores: availableParallelism(),
  memory_gib: Math.round(totalmem() / 2 ** 30),
  os: `${platform()} ${arch()}`,
  node: process.version,
});

/** Short hash of the checkout, with `+` when files differ from it; null outside of one. */
export function commit(): string | null {
  const git = (...args: string[]) =>
    execFileSync('git', args, { cwd: new URL('.', import.meta.url), encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }).trim();
  try {
    return git('rev-parse', '--short', 'HEAD') + (git('status', '--porcelain', '--untracked-files=no') ? '+' : '');
  } catch {
    return null;
  }
}

/** Root of the checkout, from src/lib and from dist/lib alike. */
export const repository = new URL('../../../', import.meta.url);

/** Words of a library or its trace as a receipt gives them to others: files of the checkout by their names from its root. */
export const withoutRoot = (text: string): string => text.replaceAll(fileURLToPath(repository), '');

/** Package versions that a figure depends on. */
export function versions(peers: readonly { readonly name: string; readonly version: string | null }[]): Record<string, string> {
  const read = (path: string | URL) => (JSON.parse(readFileSync(path, 'utf8')) as { version: string }).version;
  const require = createRequire(new URL('runtime/package.json', repository));
  // By folder: not every package exports its package.json.
  const installed = (name: string) => {
    const files = (require.resolve.paths(name) ?? []).map((folder) => join(folder, name, 'package.json'));
    const file = files.find((f) => existsSync(f));
    if (file === undefined) throw new Error(`${name} is not installed; run npm ci`);
    return read(file);
  };
  const out: Record<string, string> = {
    eagrl: read(new URL('runtime/package.json', repository)),
    v8: process.versions.v8,
    webgpu: installed('webgpu'),
    '@sparticuz/chromium': installed('@sparticuz/chromium'),
  };
  for (const { name, version } of peers) if (version !== null) out[name] = version;
  return out;
}
