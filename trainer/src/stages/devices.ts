/** What each --device is on this machine, or why it cannot be used. */
import { DEVICES, openDevice } from '@eagrl/runtime';

export async function probeDevices(): Promise<{ device: string; usable: boolean; detail: string }[]> {
  const rows = [];
  for (const device of DEVICES) {
    try {
      const backend = await openDevice({ device });
      const { adapter, threads, features } = backend.info;
      rows.push({
        device,
        usable: true,
        detail: `${backend.kind}: ${adapter}, ${threads} threads, ${features.join(' ') || 'no optional features'}`,
      });
      await backend.destroy();
    } catch (error) {
      rows.push({ device, usable: false, detail: (error as Error).message });
    }
  }
  return rows;
}
