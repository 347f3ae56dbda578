export { assertClose, type CloseOptions, relRms } from './assert_close.ts';
export { chromiumPath } from './chromium.ts';
export { centralDifferences } from './finite_difference.ts';
export { type KernelCase, testKernel, testVariant } from './kernel_cases.ts';
export { Random, seedOf } from './random.ts';
export { type ReadmeExample, readmeExample, runExample } from './readme.ts';
export { TOLERANCE } from './tolerance.ts';
export { adapterName, testDevice } from './webgpu.ts';
export { type XlsxCell, xlsx } from './xlsx.ts';
