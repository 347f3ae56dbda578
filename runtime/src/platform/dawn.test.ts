/**
 * Plan. What Dawn is asked for: it takes names that it does not know without a word, so each is looked for in its binary; on SwiftShader times of
 * the device are finer than Dawn's usual grid.
 */
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { elementwise } from '@eagrl/kernels';
import { expect, test } from 'vitest';
import { openDevice } from '../device.ts';
import { dawnFlags } from './dawn.ts';

test('every toggle asked for is one that the webgpu package knows', () => {
  const folder = dirname(createRequire(import.meta.url).resolve('webgpu'));
  const built = process.platform === 'darwin' ? 'darwin-universal' : `${process.platform}-${process.arch}`;
  const binary = readFileSync(join(folder, 'dist', built, 'dawn.node'));
  const toggles = dawnFlags(true).flatMap((flag) => flag.split('=')[1].split(','));
  expect(toggles.length).toBe(3);
  for (const toggle of toggles) expect(binary.includes(toggle), toggle).toBe(true);
});

test('times of the device are not rounded to multiples of 65.536 us', async () => {
  const backend = await openDevice({ device: 'webgpu-software' });
  const n = 4096;
  const y = { buffer: backend.alloc(n), offset: 0, length: n };
  const times: number[] = [];
  for (let i = 0; i < 5; i++) {
    const ms = await backend.deviceTime?.(() => backend.dispatch(elementwise, 'fill', [y], { n, value: 1 }));
    times.push(ms as number);
  }
  // Milliseconds come from whole nanoseconds.
  const offGrid = times.filter((ms) => Math.round(ms * 1e6) % 65_536 !== 0);
  expect(offGrid.length, `${times}`).toBeGreaterThan(0);
  await backend.destroy();
});
