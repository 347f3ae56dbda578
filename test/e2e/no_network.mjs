/** Preloaded into a process under test: whatever reaches for a network fails, and says so on stderr. */
import dgram from 'node:dgram';
import dns from 'node:dns';
import net from 'node:net';

function refuse(what) {
  return () => {
    process.stderr.write(`NETWORK: ${what}\n`);
    throw new Error(`no network in this test: ${what}`);
  };
}
net.Socket.prototype.connect = refuse('net.connect');
dgram.Socket.prototype.send = refuse('dgram.send');
dgram.Socket.prototype.connect = refuse('dgram.connect');
for (const name of ['lookup', 'resolve', 'resolve4', 'resolve6']) {
  dns[name] = refuse(`dns.${name}`);
  dns.promises[name] = refuse(`dns.promises.${name}`);
}
globalThis.fetch = refuse('fetch');
