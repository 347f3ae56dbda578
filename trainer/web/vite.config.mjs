/** `npm run demo:web`: the page from the sources, with the headers that shared memory, and with it threads, asks for. */
import { fileURLToPath } from 'node:url';

const repository = fileURLToPath(new URL('../../', import.meta.url));
const headers = { 'Cross-Origin-Opener-Policy': 'same-origin', 'Cross-Origin-Embedder-Policy': 'require-corp' };

export default {
  root: fileURLToPath(new URL('.', import.meta.url)),
  cacheDir: `${repository}node_modules/.vite-demo`,
  resolve: { conditions: ['@eagrl/source', 'browser', 'module', 'import', 'default'] },
  // Platform code for Node is behind an import that a browser never makes.
  optimizeDeps: { exclude: ['webgpu', '@sparticuz/chromium'] },
  worker: { format: 'es' },
  server: { port: 5181, headers, hmr: false, watch: null, fs: { allow: [repository] } },
  preview: { headers },
};
