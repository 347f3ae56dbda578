/** The peers, each with the backend it computes on. */
export const PEERS = [
  'tfjs-wasm',
  'tfjs-webgpu',
  'jax-js-wasm',
  'jax-js-webgpu',
  'ort-web-wasm',
  'ort-web-webgpu',
  'ort-node-cpu',
  'ort-node-webgpu',
  'torch-cuda',
] as const;
export type PeerName = (typeof PEERS)[number];
