/**
 * A peer that is no JavaScript: requests go to its standard input and replies come from its standard output, each a line of JSON and then the
 * bytes of its arrays, little-endian. A request to place a job lists them as `arrays` (name, dtype, length); a reply that is numbers says how many
 * as `floats`.
 */
import { spawn } from 'node:child_process';
import type { PeerChild, Reply, Request } from './process.ts';

const NEWLINE = 10;

const bytesOf = (a: ArrayBufferView): Buffer => Buffer.from(a.buffer, a.byteOffset, a.byteLength);

/** Starts `command`, which then waits for requests. */
export function spawnPeer(command: string, args: readonly string[]): PeerChild {
  const child = spawn(command, args, { stdio: ['pipe', 'pipe', 'pipe'], detached: true }); // as in process.ts
  const { stdin, stdout } = child;
  stdin.on('error', () => {}); // it has ended, of which 'exit' tells more
  return {
    child,
    send(request: Request) {
      const job = request.what === 'place' ? request.job : undefined;
      const inputs = Object.entries(job?.inputs ?? {});
      const arrays = inputs.map(([name, a]) => ({ name, dtype: a instanceof Float32Array ? 'f32' : 'u32', length: a.length }));
      stdin.write(`${JSON.stringify(job ? { ...request, job: { entry: job.entry, params: job.params, arrays } } : request)}\n`);
      for (const [, a] of inputs) stdin.write(bytesOf(a));
    },
    onReply(listener) {
      let chunks: Buffer[] = [];
      let bytes = 0;
      let head: (Reply & { readonly floats?: number }) | undefined;
      stdout.on('data', (chunk: Buffer) => {
        chunks.push(chunk);
        bytes += chunk.length;
        if (!head) {
          if (!chunk.includes(NEWLINE)) return;
          const all = Buffer.concat(chunks);
          const end = all.indexOf(NEWLINE);
          head = JSON.parse(all.toString('utf8', 0, end)) as Reply;
          chunks = [all.subarray(end + 1)];
          bytes = all.length - end - 1;
        }
        const { floats, ...reply } = head;
        if (bytes < 4 * (floats ?? 0)) return;
        const value = floats === undefined ? reply.value : new Float32Array(new Uint8Array(Buffer.concat(chunks)).buffer);
        [head, chunks, bytes] = [undefined, [], 0];
        listener({ ...reply, value });
      });
    },
  };
}
