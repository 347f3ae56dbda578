export * from './common/launch.ts';
export * from './common/spec.ts';
export { softmax } from './softmax/softmax.ts';
