export { assertClose, type CloseOptions, relRms } from './assert_close.ts';
export { type KernelCase, testKernel } from './kernel_cases.ts';
export { Random, seedOf } from './random.ts';
export { TOLERANCE } from './tolerance.ts';
export { adapterName, testDevice } from './webgpu.ts';
