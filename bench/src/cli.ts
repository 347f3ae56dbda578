#!/usr/bin/env node
import { main } from './main.ts';

const code = await main(
  process.argv.slice(2),
  (line) => console.log(line),
  (line) => console.error(line),
);
// Dawn's threads would keep the process alive.
process.exit(code);
