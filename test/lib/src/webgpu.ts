import { type AdapterFacts, lacks, SUBGROUP_MATRIX, subgroupMatrixOf, type Variant } from '@eagrl/kernels';
import { dawnFlags, useSoftwareAdapter } from '@eagrl/runtime/node';
import type { TestContext } from 'vitest';

// Dawn's instance must outlive every object it made: collecting it crashes the process.
let instance: GPU | undefined;
let device: Promise<GPUDevice> | undefined;
let facts: AdapterFacts | undefined;
let name = '';

/** SwiftShader, unless EAGRL_TEST_ADAPTER=system asks for whatever driver the machine has (a GPU, lavapipe through VK_DRIVER_FILES). */
async function open(): Promise<GPUDevice> {
  if (process.env.EAGRL_TEST_ADAPTER !== 'system') await useSoftwareAdapter();
  const { create, globals } = await import('webgpu');
  Object.assign(globalThis, globals);
  const matrices = process.env.EAGRL_SUBGROUP_MATRIX === '1';
  instance = create(dawnFlags(matrices));
  const adapter = await instance.requestAdapter();
  if (!adapter) throw new Error('no WebGPU adapter; npm ci installs a software one (see CONTRIBUTING.md)');
  name = adapter.info.description || adapter.info.device || adapter.info.vendor;
  const requiredFeatures = (
    ['timestamp-query', 'subgroups', 'shader-f16', ...(matrices ? [SUBGROUP_MATRIX] : [])] as GPUFeatureName[]
  ).filter((f) => adapter.features.has(f));
  const { maxComputeWorkgroupStorageSize, maxStorageBuffersPerShaderStage } = adapter.limits;
  facts = {
    features: new Set<string>(requiredFeatures),
    software: true,
    workgroupBytes: maxComputeWorkgroupStorageSize,
    storageBuffers: maxStorageBuffersPerShaderStage,
    matrix: matrices ? subgroupMatrixOf(adapter.info) : undefined,
  };
  return adapter.requestDevice({ requiredFeatures, requiredLimits: { maxComputeWorkgroupStorageSize, maxStorageBuffersPerShaderStage } });
}

/** The WebGPU device of this test process; rejects (and so fails the test) when there is none. */
export function testDevice(): Promise<GPUDevice> {
  device ??= open();
  return device;
}

/** What variants are chosen by, on that device. */
export async function testFacts(): Promise<AdapterFacts> {
  await testDevice();
  return facts as AdapterFacts;
}

/** That device, for a test of a variant; the test is skipped, and says why, where the adapter cannot compile it. */
export async function variantDevice(variant: Variant, skip: TestContext['skip']): Promise<GPUDevice> {
  const missing = lacks(variant, await testFacts());
  skip(missing !== undefined, `the adapter has no ${missing}`);
  return testDevice();
}

/** What the adapter calls itself, after `testDevice`. */
export const adapterName = (): string => name;
