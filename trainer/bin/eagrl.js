#!/usr/bin/env node
// Committed, where dist/ is not: npm links a workspace's command at install, before anything is built.
import { existsSync } from 'node:fs';

const main = new URL('../dist/commands/main.js', import.meta.url);
if (existsSync(main)) {
  process.exitCode = await (await import(main.href)).main(process.argv.slice(2));
} else {
  console.error('eagrl: not built yet; run `npm run build` in the repository');
  process.exitCode = 2;
}
