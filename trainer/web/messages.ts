/** What page and worker say to each other. */
import type { InMemoryPhase, InMemoryResult } from '../src/stages/in_memory.ts';

export interface Start {
  readonly preset: 'demo' | 'smoke';
  readonly device: 'webgpu' | 'wasm';
}

export type Event =
  | { readonly kind: 'device'; readonly text: string }
  | { readonly kind: 'progress'; readonly phase: InMemoryPhase; readonly done: number; readonly total: number; readonly note: string }
  | { readonly kind: 'metrics'; readonly phase: InMemoryPhase; readonly step: number; readonly metrics: Readonly<Record<string, number>> }
  | { readonly kind: 'warning'; readonly message: string }
  | { readonly kind: 'failed'; readonly message: string }
  | (Done & { readonly kind: 'done' });

export interface Done extends Pick<InMemoryResult, 'eval' | 'paired' | 'example'> {
  readonly seconds: number;
  /** The trained policy's weights: a safetensors file in the base's dtype. */
  readonly weights: Uint8Array<ArrayBuffer>;
}
