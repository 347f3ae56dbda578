/**
 * Plan. What `npm pack` makes of each package, used as a stranger would. The sources are built in a temporary copy (so that old files in
 * dist/ cannot hide a mistake, and nobody's running dist/ is disturbed), packed, and unpacked into an empty project whose only other
 * modules are the declared third-party dependencies, linked from this checkout: no network.
 * - npm itself installs the kernels, which depend on nothing.
 * - A tarball holds what its exports name, README and LICENSE; no test, fixture, source map, build state or TypeScript source.
 * - Every bare import in dist/ is a declared dependency.
 * - Every export imports in plain Node; the types of a small consumer check; the raw WGSL is the spec's; the README's example prints what
 *   it says; `eagrl --help` runs.
 */
import { execFile } from 'node:child_process';
import {
  accessSync,
  constants,
  cpSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { isBuiltin } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { promisify } from 'node:util';
import { readmeExample } from '@eagrl/testing';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';

const PACKAGES = ['kernels', 'runtime', 'trainer'] as const;
type Package = (typeof PACKAGES)[number];
interface Manifest {
  readonly name: string;
  readonly bin?: Record<string, string>;
  readonly dependencies?: Record<string, string>;
  readonly exports: Record<string, string | Record<string, string>>;
}
interface Packed {
  readonly manifest: Manifest;
  readonly tarball: string;
  readonly files: readonly string[];
}

const repo = fileURLToPath(new URL('../../', import.meta.url));
const modules = join(repo, 'node_modules');
const work = mkdtempSync(join(tmpdir(), 'eagrl-pack-'));
const project = join(work, 'project');
const packed = {} as Record<Package, Packed>;

/** stdout; rejects with what the command printed. */
async function run(cwd: string, command: string, ...args: string[]): Promise<string> {
  // A vitest worker's environment would lend npm and node its own flags.
  const { NODE_OPTIONS: _, ...env } = process.env;
  try {
    return (await promisify(execFile)(command, args, { cwd, env, maxBuffer: 1 << 24 })).stdout;
  } catch (error) {
    const { stdout, stderr } = error as { stdout: string; stderr: string };
    throw new Error(`${command} ${args.join(' ')}\n${stdout}\n${stderr}`);
  }
}

function link(from: string, to: string): void {
  mkdirSync(dirname(to), { recursive: true });
  symlinkSync(from, to, 'junction');
}

/** The packages as a fresh clone has them after `npm ci` and `npm run gen`. */
function copySources(tree: string): void {
  for (const name of readdirSync(modules)) if (name !== '@eagrl') link(join(modules, name), join(tree, 'node_modules', name));
  cpSync(join(repo, 'tsconfig.base.json'), join(tree, 'tsconfig.base.json'));
  for (const p of PACKAGES) {
    const skip = ['dist', 'node_modules', '.turbo'].map((name) => join(repo, p, name));
    cpSync(join(repo, p), join(tree, p), { recursive: true, filter: (from) => !skip.includes(from) && !from.endsWith('.tsbuildinfo') });
    link(join(tree, p), join(tree, 'node_modules', '@eagrl', p));
  }
}

async function pack(tree: string, p: Package): Promise<Packed> {
  await run(join(tree, p), 'npm', 'run', 'build');
  const [{ filename, files }] = JSON.parse(await run(join(tree, p), 'npm', 'pack', '--json', '--pack-destination', work)) as {
    filename: string;
    files: { path: string }[];
  }[];
  const manifest = JSON.parse(readFileSync(join(tree, p, 'package.json'), 'utf8')) as Manifest;
  return { manifest, tarball: join(work, filename), files: files.map((f) => f.path) };
}

const isOurs = (name: string) => name.startsWith('@eagrl/');

beforeAll(async () => {
  const tree = join(work, 'tree');
  copySources(tree);
  for (const p of PACKAGES) {
    packed[p] = await pack(tree, p);
    const { manifest, tarball } = packed[p];
    const into = join(project, 'node_modules', manifest.name);
    mkdirSync(into, { recursive: true });
    await run(into, 'tar', '-xzf', tarball, '--strip-components=1');
  }
  const third = new Set(PACKAGES.flatMap((p) => Object.keys(packed[p].manifest.dependencies ?? {})).filter((d) => !isOurs(d)));
  for (const name of third) link(join(modules, name), join(project, 'node_modules', name));
  writeFileSync(join(project, 'package.json'), JSON.stringify({ private: true, type: 'module' }));
}, 240_000);

afterAll(() => rmSync(work, { recursive: true, force: true }));

test('npx finds the command in a clone, which npm links before anything is built', () => {
  const command = join(modules, '.bin', 'eagrl');
  expect(realpathSync(command)).toBe(realpathSync(join(repo, 'trainer/bin/eagrl.js')));
  accessSync(command, constants.X_OK);
});

test('npm installs the kernels into an empty project, offline', async () => {
  const empty = join(work, 'empty');
  mkdirSync(empty);
  writeFileSync(join(empty, 'package.json'), '{ "private": true, "type": "module" }');
  await run(empty, 'npm', 'install', '--offline', packed.kernels.tarball);
  expect(readdirSync(join(empty, 'node_modules')).filter((name) => !name.startsWith('.'))).toEqual(['@eagrl']);
  const script = "import { softmax } from '@eagrl/kernels'; console.log(softmax.name);";
  expect(await run(empty, 'node', '--input-type=module', '-e', script)).toBe('softmax\n');
});

describe.each(PACKAGES)('%s', (p) => {
  test('holds what its exports name, README and LICENSE, and nothing of the workshop', () => {
    const { manifest, files } = packed[p];
    const named = Object.values(manifest.exports)
      .flatMap((e) => (typeof e === 'string' ? [e] : [e['types'], e['default']]))
      .concat(Object.values(manifest.bin ?? {}))
      .filter((path) => !path.includes('*'));
    const wanted = ['README.md', 'LICENSE', ...named.map((path) => path.slice(2))];
    expect(
      wanted.filter((path) => !files.includes(path)),
      'missing',
    ).toEqual([]);
    const workshop = /\.(test|fixture)\.|\.map$|\.tsbuildinfo$|^src\/|\.as\.|(?<!\.d)\.ts$/;
    expect(files.filter((path) => workshop.test(path))).toEqual([]);
  });

  test('imports only what it declares', () => {
    const { manifest, files } = packed[p];
    const declared = new Set([manifest.name, ...Object.keys(manifest.dependencies ?? {})]);
    const found = new Set<string>();
    for (const path of files.filter((f) => /\.m?js$/.test(f))) {
      const text = readFileSync(join(project, 'node_modules', manifest.name, path), 'utf8');
      for (const m of text.matchAll(
        /^(?:import|export)\b[^'"`]*?from '([^'.][^']*)'|^import '([^'.][^']*)'|\bimport\('([^'.][^']*)'\)/gm,
      )) {
        const name = m[1] ?? m[2] ?? m[3];
        if (!isBuiltin(name))
          found.add(
            name
              .split('/')
              .slice(0, name.startsWith('@') ? 2 : 1)
              .join('/'),
          );
      }
    }
    expect([...found].filter((name) => !declared.has(name))).toEqual([]);
    if (p !== 'kernels') expect(found).toContain('@eagrl/kernels'); // the search above finds something
  });
});

test('every export imports in plain Node', async () => {
  const kernels = packed.kernels.files.flatMap((f) => /^dist\/(\w+)\/\1\.js$/.exec(f)?.[1] ?? []);
  expect(kernels.length).toBeGreaterThan(20);
  const specifiers = PACKAGES.flatMap((p) => {
    const { manifest } = packed[p];
    return Object.keys(manifest.exports)
      .flatMap((path) => (path === './*' ? kernels.map((k) => `./${k}`) : [path]))
      .filter((path) => !path.includes('*'))
      .map((path) => manifest.name + path.slice(1));
  });
  const script = `for (const s of ${JSON.stringify(specifiers)}) console.log(s, Object.keys(await import(s)).length); process.exit(0);`;
  const lines = (await run(project, 'node', '--input-type=module', '-e', script)).trim().split('\n');
  expect(lines.map((line) => line.split(' ')[0])).toEqual(specifiers);
  expect(lines.filter((line) => line.endsWith(' 0'))).toEqual([]);
});

test('the raw WGSL of each kernel is the text of its spec', async () => {
  const script = `
    import { readFileSync } from 'node:fs';
    import * as kernels from '@eagrl/kernels';
    const specs = new Set(Object.values(kernels).filter((k) => k?.wgsl));
    for (const { name, wgsl } of specs) {
      if (readFileSync(new URL(import.meta.resolve('@eagrl/kernels/wgsl/' + name + '.wgsl')), 'utf8') !== wgsl) throw new Error(name);
    }
    console.log(specs.size > 20);`;
  writeFileSync(join(project, 'wgsl.mjs'), script);
  expect(await run(project, 'node', 'wgsl.mjs')).toBe('true\n');
});

test('the types of a consumer check', async () => {
  writeFileSync(
    join(project, 'consumer.ts'),
    `import { launchWasm, type KernelSpec } from '@eagrl/kernels';
import { softmax } from '@eagrl/kernels/softmax';
import { openDevice, type Backend } from '@eagrl/runtime';
import * as trainer from '@eagrl/trainer';
const spec: KernelSpec = softmax;
const y = launchWasm(spec, 'softmax_fwd', { x: Float32Array.of(1, 2) }, { rows: 1, cols: 2 })['y'];
export const backend: Promise<Backend> = openDevice({ device: 'wasm', threads: y.length });
// @ts-expect-error no such device
openDevice({ device: 'cuda' });
export default trainer;
`,
  );
  const compilerOptions = { strict: true, noEmit: true, target: 'es2022', lib: ['es2023', 'dom'], module: 'nodenext', types: [] };
  writeFileSync(join(project, 'tsconfig.json'), JSON.stringify({ compilerOptions, files: ['consumer.ts'] }));
  await run(project, 'node', join(modules, 'typescript', 'bin', 'tsc'), '-p', '.');
});

test("the example in the kernels' README prints what it says", async () => {
  const { code, printed } = readmeExample(pathToFileURL(join(project, 'node_modules', '@eagrl', 'kernels', 'README.md')));
  writeFileSync(join(project, 'example.mjs'), code);
  expect(await run(project, 'node', 'example.mjs')).toBe(`${printed}\n`);
});

test('eagrl --help runs', async () => {
  const bin = packed.trainer.manifest.bin?.['eagrl'] as string;
  const help = await run(project, 'node', join('node_modules', '@eagrl', 'trainer', bin), '--help');
  expect(help).toMatch(/^Usage: eagrl/m);
});
