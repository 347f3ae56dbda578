#!/usr/bin/env node
import { cases } from './cases/index.ts';
import { main, type Signal } from './main.ts';

let signal: Signal | undefined;
const stop = (sent: Signal) => {
  if (signal) process.exit(1);
  signal = sent;
  console.error(`bench: ${sent}: ends after the case under way with what was measured; once more ends it now`);
};
process.on('SIGINT', stop);
process.on('SIGTERM', stop);

const code = await main(
  process.argv.slice(2),
  (line) => console.log(line),
  (line) => console.error(line),
  cases,
  () => signal,
);
// Dawn's threads would keep the process alive.
process.exit(code);
