/** Plan. Once a run is over no peer is started, and which were not is told: a comparison does not miss their rows. */
import { expect, test } from 'vitest';
import { Stop } from '../lib/stop.ts';
import { openPeers } from './open.ts';

test('a run that is over starts no peer', async () => {
  const printed: string[] = [];
  const peers = await openPeers(['torch-cuda'], ['webgpu'], (line) => printed.push(line), new Stop(undefined, AbortSignal.abort('SIGINT')));
  expect(peers).toEqual({ providers: [], status: [], notStarted: ['torch-cuda'] });
  expect(printed).toEqual([]);
});
