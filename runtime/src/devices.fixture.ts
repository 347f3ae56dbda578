/** Devices that the tests of a file share. */
import { afterAll } from 'vitest';
import type { Backend } from './backend.ts';
import { type DeviceName, openDevice } from './device.ts';

/** Gives a device by its name: opened when it is first asked for, closed after the file's last test. Called once, at the top of the file. */
export function sharedDevices(threads: number): (name: DeviceName) => Promise<Backend> {
  const opened = new Map<DeviceName, Promise<Backend>>();
  afterAll(async () => {
    for (const backend of opened.values()) await (await backend).destroy();
  });
  return (name) => {
    const device = opened.get(name) ?? openDevice({ device: name, threads });
    opened.set(name, device);
    return device;
  };
}
