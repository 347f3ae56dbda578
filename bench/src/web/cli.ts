#!/usr/bin/env node
/** `npm run bench:web`: until interrupted. */
import { serve } from './serve.ts';

const server = await serve(5180);
console.log(
  `bench in a browser: ${server.resolvedUrls?.local[0] ?? 'not listening'}  (WebGPU wants a recent Chrome, Edge, Safari or Firefox)`,
);
