/**
 * Lets a Node process of a test run the TypeScript sources: `node --conditions=@eagrl/source --import <this file> test/e2e/eagrl.ts`.
 * The sources need no more than their types stripped (isolatedModules, verbatimModuleSyntax). What comes out is kept under the hash of
 * what went in, so that of many processes only the first pays; nothing is built beforehand, so nothing can be stale.
 */
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { register } from 'node:module';
import { fileURLToPath } from 'node:url';
import { isMainThread } from 'node:worker_threads';

if (isMainThread) register(import.meta.url);

const cache = fileURLToPath(new URL('../../node_modules/.cache/eagrl-sources/', import.meta.url));

async function strip(source) {
  const { default: ts } = await import('typescript');
  return ts.transpileModule(source, {
    compilerOptions: { module: ts.ModuleKind.ESNext, target: ts.ScriptTarget.ES2022, verbatimModuleSyntax: true },
  }).outputText;
}

export async function load(url, context, nextLoad) {
  if (!url.endsWith('.ts')) return nextLoad(url, context);
  const source = readFileSync(fileURLToPath(url), 'utf8');
  const kept = `${cache}${createHash('sha256').update(source).digest('hex')}.mjs`;
  if (!existsSync(kept)) {
    mkdirSync(cache, { recursive: true });
    const beside = `${kept}.${process.pid}`;
    writeFileSync(beside, await strip(source));
    renameSync(beside, kept);
  }
  return { format: 'module', source: readFileSync(kept, 'utf8'), shortCircuit: true };
}
