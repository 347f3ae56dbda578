#!/usr/bin/env node
import { main } from './main.ts';

// Its reader is gone, as `tee` is after Ctrl-C: the receipt is still to be written.
for (const stream of [process.stdout, process.stderr]) stream.on('error', () => process.emit('SIGPIPE', 'SIGPIPE'));

const code = await main(
  process.argv.slice(2),
  (line) => console.log(line),
  (line) => console.error(line),
);
// Dawn's threads would keep the process alive.
process.exit(code);
