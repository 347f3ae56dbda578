/**
 * Plan. Dawn replaced by one that notes the driver list which it sees: calls at once for one adapter share an instance; for several, each sees its
 * own list, and the user's is back at the end; a start that failed is tried again.
 */
import { afterEach, beforeEach, expect, test, vi } from 'vitest';

const soon = () => new Promise((resolve) => setTimeout(resolve, 5));
/** VK_DRIVER_FILES at each instance's first look at the adapters. */
const seen: (string | undefined)[] = [];
let broken = false;

vi.mock('webgpu', () => ({
  globals: {},
  create: () => ({
    requestAdapter: async () => {
      await soon();
      seen.push(process.env.VK_DRIVER_FILES);
      return null;
    },
  }),
}));
vi.mock('./software_adapter.ts', () => ({
  cacheFolder: () => '',
  useSoftwareAdapter: async () => {
    await soon();
    process.env.VK_DRIVER_FILES = 'swiftshader';
    if (broken) throw new Error('no archive');
  },
}));

beforeEach(() => {
  vi.resetModules();
  vi.stubEnv('VK_DRIVER_FILES', 'mine');
  vi.spyOn(process, 'dlopen').mockImplementation(() => {}); // any machine has a Vulkan loader
  seen.length = 0;
});
afterEach(() => {
  vi.unstubAllEnvs();
  vi.restoreAllMocks();
});

test('calls at once share an instance, and no driver list reaches another', async () => {
  const { platform } = await import('./node.ts');
  const [a, b, hardware, experimental] = await Promise.all([
    platform.webgpu(true, false),
    platform.webgpu(true, false),
    platform.webgpu(false, false),
    platform.webgpu(true, true),
  ]);
  expect(a).toBe(b);
  expect(new Set([a, hardware, experimental]).size).toBe(3);
  expect(seen).toEqual(['swiftshader', 'mine', 'swiftshader']);
  expect(process.env.VK_DRIVER_FILES).toBe('mine');
  expect(await platform.webgpu(true, false)).toBe(a);
});

test('a start that failed is tried again, and stops no other', async () => {
  const { platform } = await import('./node.ts');
  broken = true;
  const [failed, hardware] = await Promise.allSettled([platform.webgpu(true, false), platform.webgpu(false, false)]);
  expect([failed.status, hardware.status]).toEqual(['rejected', 'fulfilled']);
  expect(process.env.VK_DRIVER_FILES).toBe('mine');
  broken = false;
  await platform.webgpu(true, false);
  expect(seen).toEqual(['mine', 'swiftshader']);
});
