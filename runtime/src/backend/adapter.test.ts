/** Plan. Names of adapters as Dawn and browsers describe them; who computes on the CPU. */
import { expect, test } from 'vitest';
import { adapterName, isSoftware, isSoftwareName } from './adapter.ts';

const info = (vendor: string, architecture: string, device: string, description: string) =>
  ({ vendor, architecture, device, description, isFallbackAdapter: false }) as GPUAdapterInfo;

test.each([
  [info('nvidia', 'hopper', 'nvidia-h200', 'NVIDIA: 580.159.04 580.159.4.0'), 'nvidia-h200 (NVIDIA: 580.159.04 580.159.4.0)', false],
  [info('apple', 'metal-3', 'apple-m4', 'Apple M4'), 'Apple M4', false],
  [info('amd', 'rdna-3', 'radeon', 'AMD Radeon RX 7900'), 'AMD Radeon RX 7900', false],
  [info('nvidia', 'ampere', '', ''), 'ampere', false],
  [info('intel', '', '0x1234', ''), '0x1234', false],
  [info('', '', '', ''), 'unnamed adapter', false],
  [info('google', 'swiftshader', 'swiftshader-device-subzero-', 'SwiftShader driver 5.0.0'), 'SwiftShader driver 5.0.0', true],
  [info('mesa', '', 'llvmpipe-llvm-19-1-7-256-bits-', 'llvmpipe: Mesa 25.0.7'), 'llvmpipe: Mesa 25.0.7', true],
])('$0.vendor $0.device', (adapter, name, software) => {
  expect(adapterName(adapter)).toBe(name);
  expect([isSoftware(adapter), isSoftwareName(name)]).toEqual([software, software]);
});

test('an adapter that the browser falls back to computes on the CPU, whatever its name', () => {
  expect(isSoftware({ ...info('x', '', '', 'x'), isFallbackAdapter: true })).toBe(true);
});
