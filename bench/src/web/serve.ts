/** Serves the page with the headers that shared memory asks for; Vite gives it the sources and packages. */
import { fileURLToPath } from 'node:url';
import { createServer, type ViteDevServer } from 'vite';
import { commit, repository, versions } from '../lib/machine.ts';

/** Without these a page is not cross-origin isolated, and WebAssembly has one thread. */
const ISOLATED = { 'Cross-Origin-Opener-Policy': 'same-origin', 'Cross-Origin-Embedder-Policy': 'require-corp' };

/** Serves on localhost; `port` 0 takes a free one. */
export async function serve(port: number): Promise<ViteDevServer> {
  const root = fileURLToPath(new URL('bench/src/web', repository));
  const server = await createServer({
    configFile: false,
    root,
    cacheDir: fileURLToPath(new URL('node_modules/.vite-bench', repository)),
    logLevel: 'warn',
    resolve: { conditions: ['@eagrl/source', 'browser', 'module', 'import', 'default'] },
    // Platform code for Node is behind an import that a browser never makes.
    optimizeDeps: { include: ['lodash', 'benchmark'], exclude: ['webgpu', '@sparticuz/chromium'] },
    define: {
      'import.meta.env.VITE_COMMIT': JSON.stringify(commit() ?? ''),
      'import.meta.env.VITE_VERSION': JSON.stringify(versions([]).eagrl),
    },
    server: { port, host: 'localhost', headers: ISOLATED, hmr: false, watch: null, fs: { allow: [fileURLToPath(repository)] } },
  });
  return server.listen();
}
