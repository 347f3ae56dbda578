/** Body of a peer's process: loads one peer, then answers one request at a time. */
import { prepare, type Round } from '../lib/time.ts';
import type { Peer, Placed } from './job.ts';
import type { Reply, Request } from './process.ts';

const load: Readonly<Record<string, () => Promise<Peer>>> = {
  tfjs: async () => (await import('./tfjs.ts')).peer,
  'jax-js': async () => (await import('./jax_js.ts')).peer,
  'ort-web': async () => (await import('./ort.ts')).web,
  'ort-node': async () => (await import('./ort.ts')).node,
};

let peer: Peer;
const lanes = new Map<number, { placed: Placed; round?: Round }>();

const laneOf = (id: number) => {
  const lane = lanes.get(id);
  if (!lane) throw new Error(`no lane ${id}`);
  return lane;
};

async function answer(request: Request): Promise<unknown> {
  switch (request.what) {
    case 'open':
      peer = await load[request.library]();
      return peer.open(request.options);
    case 'place': {
      const placed = await peer.place(request.job);
      if (placed) lanes.set(request.lane, { placed });
      return placed !== undefined;
    }
    case 'output': {
      const { placed } = laneOf(request.lane);
      await placed.run();
      await placed.sync();
      return placed.output();
    }
    case 'prepare': {
      const lane = laneOf(request.lane);
      lane.round = await prepare(lane.placed, request.budget);
      return undefined;
    }
    case 'round': {
      const { round } = laneOf(request.lane);
      if (!round) throw new Error('round before prepare');
      return round();
    }
    case 'free':
      await laneOf(request.lane).placed.free();
      lanes.delete(request.lane);
      return undefined;
  }
}

process.on('message', (request: Request) => {
  answer(request).then(
    (value) => process.send?.({ value } satisfies Reply),
    (error: unknown) => process.send?.({ error: error instanceof Error ? error.message : String(error) } satisfies Reply),
  );
});
// Some libraries keep threads that go on through process.exit.
process.on('disconnect', () => process.kill(process.pid, 'SIGKILL'));
